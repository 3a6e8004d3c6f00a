//! Scripts that exit early, scripts with syntax errors, and correct ones.

use super::*;
use proptest::prelude::*;

#[test]
fn an_end_before_the_end_is_found() {
    for (script, line) in [
        ("#!/bin/sh\nexit 0\n", None),
        ("#!/bin/sh\nexit 0\n# the end\n\n", None),
        ("#!/bin/sh\n[ -n \"$IPKG_INSTROOT\" ] && exit 0\ntrue\n", None),
        ("[ -n \"$A\" ] ||\n\texit 0\ntrue\n", None),
        ("if true; then\n\texit 0\nfi\ntrue\n", None),
        ("if true; then exit 0; fi\nexit\n", None),
        ("[ -n \"$R\" ] || {\n  true\n  exit 0\n}\ntrue\n", None),
        ("f() {\n  exit 1\n}\nf\n", None),
        ("f () { return 1; }\nf\n", None),
        ("case $1 in\na)\n  exit 0\n  ;;\n(b|c) exit 1;;\nesac\ntrue\n", None),
        ("if [ -f /x ]; then\n\techo done\n\texit 0\nfi\ntrue\n", None),
        ("if true; then # done with that\n\texit 0\nfi\ntrue\n", None),
        ("if true; then\n\tA=${B}\n\texit 0\nfi\ntrue\n", None),
        ("cat > /tmp/x <<'EOT'\n#!/bin/sh\nexit 0\nEOT\ntrue\n", None),
        ("cat <<-EOT\n\texit 0\n\tEOT\ntrue\n", None),
        ("(\n\tcd /x\n\texit 0\n)\ntrue\n", None),
        ("awk '\n/x/ { n++ }\nEND { print n }' /x\nif false; then\n exit 1\nfi\ntrue\n", None),
        ("exec 2>&1\ntrue\n", None),
        ("exit 0 | cat\ntrue\n", None),
        ("echo exit; true\n", None),
        ("while read -r a; do exit 0; done < /x\ntrue\n", None),
        ("true\nexit 0\ntrue\n", Some(2)),
        ("if true; then\n  true\nfi\nexit\nfalse\n", Some(4)),
        ("true; exit 0\ntrue\n", Some(1)),
        ("return 0\ntrue\n", Some(1)),
        ("exec /bin/true\ntrue\n", Some(1)),
        ("exit 0\nif true; then true; fi\n", Some(1)),
    ] {
        assert_eq!(scan(script), Scan { ends_early: line, broken: None }, "{script:?}");
    }
}

#[test]
fn what_ash_cannot_read_is_found() {
    for (script, line) in [
        ("if true; then\n  true\n", 1),
        ("true\nfi\n", 2),
        ("for a in b; do\n  true\n", 1),
        ("while true; do true; fi\n", 1),
        ("case $1 in\na) true ;;\n", 1),
        ("f() {\n  true\n", 1),
        ("echo \"open\n", 1),
        ("true\necho 'open\n", 2),
        ("true\n)\n", 2),
        ("if true; fi\n", 1),
        ("a=(1 2)\n", 1),
        ("echo $(true\n", 1),
    ] {
        assert_eq!(scan(script).broken.map(|(line, _)| line), Some(line), "{script:?}");
    }
}

#[test]
fn scripts_as_they_are_written_are_read() {
    for script in [
        "#!/bin/sh\n[ \"${IPKG_NO_SCRIPT}\" = \"1\" ] && exit 0\n[ -s ${IPKG_INSTROOT}/lib/functions.sh ] || exit 0\n\
         . ${IPKG_INSTROOT}/lib/functions.sh\ndefault_postinst $0 $@\n",
        "#!/bin/sh /etc/rc.common\nSTART=99\nstart_service() {\n\tprocd_open_instance\n\tlocal a=\"$(uci -q get \"x.y.z\")\"\n\
         \tprocd_set_param command /usr/sbin/x\n\tprocd_close_instance\n}\n",
        "for i in 1 2 3\ndo\n\techo \"$i\"\ndone\n",
        "case \"$ACTION\" in\n\tadd|remove) echo \"it's\" ;;\n\t*)\n\t\t:\n\t;;\nesac\n",
        "if ! grep -q x /y 2>/dev/null; then echo a >&2; elif true; then :; else :; fi\n",
        "x=$((1 + (2 * 3)))\ny=`date`\nz=${x%%.*}\n[ ${#x} -gt 1 ] && echo '#'\n",
        "a && { b; c; } || d\n( cd / && ls ) &\nwait\n",
        "until [ -e /x ]; do sleep 1; done\nuci batch <<EOF\nset a.b='c'\nEOF\n",
        "echo done if then esac fi\nread -r line < /x\n",
        "foo() (\n\ttrue\n)\nX=1 Y=2 command arg\n",
        "for x; do echo $x; done\n",
        "echo a \\\n\tb\ntrue\n",
        "x=$(case $1 in a) echo b;; esac)\ny=$( # it's\n\tcat )\n",
        "if [ \"$(echo \"$a\" | grep \"b\")\" ]; then true; fi\n",
    ] {
        assert_eq!(scan(script), Scan::default(), "{script}");
    }
}

#[test]
fn other_interpreters_are_left_alone() {
    for (text, expected) in [
        ("#!/bin/sh\n", true),
        ("#!/bin/sh /etc/rc.common\n", true),
        ("true\n", true),
        ("#!/usr/bin/lua\n", false),
        ("#!/usr/bin/env ucode\n", false),
        ("#!/bin/bash\n", false),
    ] {
        assert_eq!(is_shell(text), expected, "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[a-z'\"`$(){};|&<>#\\\\ \n\t=-]{0,60}") {
        let _ = scan(&text);
    }

    #[test]
    fn no_words_make_it_panic(words in prop::collection::vec("(if|then|fi|for|in|do|done|case|esac|\\{|\\}|\\(|\\)|;;|;|\n|x|<<E|E|\"|'|\\$\\()", 0..20)) {
        let _ = scan(&words.join(" "));
    }
}
