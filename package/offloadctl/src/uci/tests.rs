//! Configurations that people and programs write, and what nobody should.

use proptest::prelude::*;

use super::*;

/// With every way to write a word that the grammar has.
const SAMPLE: &str = "# first\npackage firewall\n\nconfig defaults\n\toption input\t'REJECT' # why\n\
                      \toption a b\\ c\n#\toption flow_offloading 0\n\nc zone \"la\\\"n\"\n  o name 'l'\"a\"n\n  \
                      list network 'x\ny'\n  l network #none\n  option empty\n";

fn config(text: &str) -> Config {
    Config::parse(text.into()).unwrap()
}

#[test]
fn reads_every_way_to_write_a_word() {
    let config = config(SAMPLE);
    assert_eq!(config.as_bytes(), SAMPLE.as_bytes());
    let defaults = config.first_section("defaults").unwrap();
    assert_eq!(config.option(defaults, "input"), Some(&b"REJECT"[..]));
    assert_eq!(config.option(defaults, "a"), Some(&b"b c"[..]));
    assert_eq!(config.option(defaults, "flow_offloading"), None);
    assert_eq!(config.option(defaults, "name"), None);
    let zone = config.first_section("zone").unwrap();
    assert_eq!(config.option(zone, "name"), Some(&b"lan"[..]));
    assert_eq!(config.option(zone, "empty"), Some(&b""[..]));
    assert_eq!(config.sections("zone"), [zone]);
    assert_eq!(config.first_section("rule"), None);
}

#[test]
fn sections_of_one_name_are_one() {
    let text = "config defaults 'd'\n\toption input ACCEPT\n\toption x 0\nconfig zone\n\toption name lan\n\
                config defaults 'd'\n\toption x 1\nconfig defaults\n\toption x 2\nconfig rule 'r'\nconfig zone 'r'\n";
    let config = config(text);
    let sections = config.sections("defaults");
    assert_eq!(sections.len(), 2);
    assert_eq!(config.option(sections[0], "x"), Some(&b"1"[..]));
    assert_eq!(config.option(sections[0], "input"), Some(&b"ACCEPT"[..]));
    assert_eq!(config.option(sections[1], "x"), Some(&b"2"[..]));
    // The type that comes last is the one that it has.
    assert_eq!((config.sections("rule").len(), config.sections("zone").len()), (0, 2));
    let changed = config.with_option(sections[0], "x", "0").unwrap();
    assert_eq!(changed.as_bytes(), text.replace("option x 1", "option x '0'").as_bytes());
    let changed = config.with_option(sections[0], "y", "0").unwrap();
    assert_eq!(changed.as_bytes(), text.replace("x 1\n", "x 1\n\toption y '0'\n").as_bytes());
    assert_eq!(config.section_called("d"), Some(sections[0]));
    assert_eq!(config.section_called("cfg030000"), Some(sections[1]));
    assert_eq!(config.section_called("cfg000000"), None);
    assert_eq!(config.section_called("nobody"), None);
}

#[test]
fn options_and_lists_of_one_name_replace_each_other() {
    let value = |text: &str| {
        let config = config(&format!("config a\n{text}"));
        match config.value(config.first_section("a").unwrap(), "x") {
            Value::None => "none".to_owned(),
            Value::One(value) => String::from_utf8_lossy(value).into_owned(),
            Value::List => "list".to_owned(),
        }
    };
    assert_eq!(value("option x 1\n"), "1");
    assert_eq!(value("list x 1\n"), "list");
    assert_eq!(value("list x 1\noption x 2\n"), "2");
    assert_eq!(value("option x 2\nlist x 1\n"), "list");
    assert_eq!(value("option y 2\n"), "none");
    let before = config("config a\n\tlist x 1\n");
    let changed = before.with_option(before.first_section("a").unwrap(), "x", "0").unwrap();
    assert_eq!(changed.as_bytes(), b"config a\n\tlist x 1\n\toption x '0'\n");
}

#[test]
fn a_line_is_added_after_the_options_and_indented_alike() {
    let config = config(SAMPLE);
    let defaults = config.first_section("defaults").unwrap();
    let changed = config.with_option(defaults, "flow_offloading", "1").unwrap();
    let expected = SAMPLE.replace("b\\ c\n", "b\\ c\n\toption flow_offloading '1'\n");
    assert_eq!(String::from_utf8_lossy(changed.as_bytes()), expected);
    let zone = config.first_section("zone").unwrap();
    let changed = config.with_option(zone, "masq", "1").unwrap();
    assert_eq!(String::from_utf8_lossy(changed.as_bytes()), format!("{SAMPLE}  option masq '1'\n"));
}

#[test]
fn a_value_is_replaced_where_it_stands() {
    for (before, after) in [
        ("config a\n\toption x\t0 # off\n", "config a\n\toption x\t'1' # off\n"),
        ("config a\noption x \"0\"\noption x 0", "config a\noption x \"0\"\noption x '1'"),
        ("config a\n option x #\n", "config a\n option x '1' #\n"),
        ("config a", "config a\n\toption x '1'\n"),
        ("config a\n# end", "config a\n\toption x '1'\n# end"),
        // A line that is joined to the one before it belongs to that, even when there is a comment in it only.
        ("config a\noption y 0 \\\r\n# why\n# end\n", "config a\noption y 0 \\\r\n# why\noption x '1'\n# end\n"),
        ("config a\n option y 0 \\\n", "config a\n option y 0 \\\n\n option x '1'\n"),
    ] {
        let config = config(before);
        let changed = config.with_option(config.first_section("a").unwrap(), "x", "1").unwrap();
        assert_eq!(String::from_utf8_lossy(changed.as_bytes()), after);
    }
}

#[test]
fn a_section_is_added_at_the_end() {
    for (before, after) in [("", "\nconfig a\n"), ("config b", "config b\n\nconfig a\n")] {
        assert_eq!(config(before).with_section("a").unwrap().as_bytes(), after.as_bytes());
    }
}

#[test]
fn tells_the_line_that_is_wrong() {
    for (text, line, why) in [
        ("config a\n\toptoin x 1\n", 2, "begins with"),
        ("option x 1\n", 1, "before the first section"),
        ("config\n", 1, "name is missing"),
        ("config a\n\noption x 1 2\n", 3, "too many"),
        ("config a; option x 1\n", 1, "several statements"),
        ("config a\noption x 'y\n\n", 2, "no end"),
        ("config a\noption x \"y\\", 2, "no end"),
        ("config a\noption x y\\", 2, "backslash"),
        // With a line added below, these would go on there.
        ("config a\noption x y\\\r", 2, "backslash"),
        ("config a\noption x y\\\0", 2, "backslash"),
        ("config a\noption x y\0", 2, "zero byte"),
    ] {
        let found = Config::parse(text.into()).unwrap_err();
        assert_eq!(found.line, line, "{text:?}: {}", found.why);
        assert!(found.why.contains(why), "{text:?}: {}", found.why);
    }
}

/// Texts that are likely to be configuration files.
fn likely() -> impl Strategy<Value = String> {
    let word = prop_oneof!["[a-z_]{1,6}", "'[a-z #;\n]{0,6}'", "\"([a-z #']|\\\\.){0,4}\"", "[a-z]\\\\ [a-z]"];
    let line = prop_oneof![
        Just("config defaults\n".to_owned()),
        ("[ \t]{0,3}(option|o|list|l) [a-c]", word).prop_map(|(start, word)| format!("{start} {word}\n")),
        "config [a-z]{1,4}( '[a-z]{1,4}')?( \\\\\r?\n)?(#[ -~]{0,4})?\n",
        "#[ -~]{0,10}\n",
        "[ \t\r]{0,3}\n",
    ];
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_kept_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(config) = Config::parse(bytes.clone()) {
            prop_assert_eq!(config.as_bytes(), &bytes[..]);
        }
    }

    #[test]
    fn a_change_changes_nothing_else(text in likely(), name in "[a-e]", value in "[ -~\n]{0,8}") {
        let Ok(before) = Config::parse(text.clone().into_bytes()) else { return Ok(()) };
        let Some(section) = before.first_section("defaults") else { return Ok(()) };
        let after = before.with_option(section, &name, &value).unwrap();
        prop_assert_eq!(after.option(section, &name), Some(value.as_bytes()));

        // What is left of the bytes, front and back, when the changed stretch is taken out.
        let (old, new) = (before.as_bytes(), after.as_bytes());
        let front = old.iter().zip(new).take_while(|(old, new)| old == new).count();
        let back = old[front..].iter().rev().zip(new[front..].iter().rev()).take_while(|(old, new)| old == new).count();
        let removed = &old[front..old.len() - back];
        match before.option(section, &name) {
            Some(_) => prop_assert!(!removed.contains(&b'\n') || text.contains("'"), "{:?}", removed),
            None => prop_assert!(removed.is_empty(), "{:?}", removed),
        }

        // Every other statement reads as before.
        let others = |config: &Config| -> Vec<(Kind, Vec<Vec<u8>>)> {
            let values = |statement: &Statement| statement.words.iter().map(|word| word.value.clone()).collect();
            config.statements.iter().map(|statement| (statement.kind, values(statement))).collect()
        };
        let (old, new) = (others(&before), others(&after));
        let changed = (Kind::Option, vec![name.into_bytes(), value.into_bytes()]);
        let differing = new.iter().filter(|statement| !old.contains(statement)).count();
        prop_assert!(differing <= 1 && new.contains(&changed));
        prop_assert!(new.len() - old.len() <= 1);
    }

    #[test]
    fn setting_twice_is_setting_once(text in likely()) {
        let Ok(before) = Config::parse(text.into_bytes()) else { return Ok(()) };
        let Some(section) = before.first_section("defaults") else { return Ok(()) };
        let once = before.with_option(section, "x", "1").unwrap();
        prop_assert_eq!(&once.with_option(section, "x", "1").unwrap(), &once);
    }
}
