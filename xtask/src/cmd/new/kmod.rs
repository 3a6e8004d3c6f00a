//! The example of a kernel module from source.

use super::{Sample, named};

const RECIPE: &str = "\
version: 1
package: kmod-@NAME@
title: An example of a kernel module from source
source:
  # The folder with a Kbuild file; it is compiled for each kernel that is asked for.
  path: ../kmods/@NAME@
  version: \"1.0\"
  license: GPL-2.0-only
modules:
  - name: @IDENT@
# The kmods whose symbols it uses, such as kmod-nf-conntrack.
depends: []
# Loaded when it is installed, and at boot.
autoload: { priority: 90 }
";

const KBUILD: &str = "obj-m += @IDENT@.o\n";

const SOURCE: &str = r#"// SPDX-License-Identifier: GPL-2.0-only
/* An example: a module with one parameter. */
#include <linux/module.h>

static int answer = 42;
module_param(answer, int, 0444);
MODULE_PARM_DESC(answer, "what /sys/module/@IDENT@/parameters/answer says");

static int __init @IDENT@_init(void)
{
	return answer < 0 ? -EINVAL : 0;
}

static void __exit @IDENT@_exit(void)
{
}

module_init(@IDENT@_init);
module_exit(@IDENT@_exit);

MODULE_DESCRIPTION("An example of a kernel module from source");
MODULE_LICENSE("GPL");
"#;

const SCENARIO: &str = "\
version: 1
title: kmod-@NAME@ installs, loads with its parameters, and goes
steps:
  - manager: update
  - manager: install
    packages: [kmod-@NAME@]
    installed: [kmod-@NAME@]
    loaded-from-feed: [kmod-@NAME@]
  - run: [cat, /sys/module/@IDENT@/parameters/answer]
    says: [\"42\"]
  - reload: @IDENT@
    with: [answer=7]
  - run: [cat, /sys/module/@IDENT@/parameters/answer]
    says: [\"7\"]
    # Nobody uses it, and nothing is wrong with the kernel but that the module is from outside (O) and not signed (E).
    uses: { @IDENT@: 0 }
    taint: [O, E]
  - unload: @IDENT@
    not-loaded: [@IDENT@]
  # What it refuses, it must refuse.
  - run: [sh, -c, \"insmod /lib/modules/$(uname -r)/@IDENT@.ko answer=-1\"]
    exit: nonzero
    not-loaded: [@IDENT@]
  - manager: remove
    packages: [kmod-@NAME@]
    not-installed: [kmod-@NAME@]
";

/// The files of the example.
pub(super) fn samples(name: &str) -> Vec<Sample> {
    let ident = name.replace('-', "_");
    vec![
        (format!("recipes/kmod-{name}.yaml"), named(RECIPE, name)),
        (format!("kmods/{name}/Kbuild"), named(KBUILD, name)),
        (format!("kmods/{name}/{ident}.c"), named(SOURCE, name)),
        (format!("scenarios/kmod-{name}.yaml"), named(SCENARIO, name)),
    ]
}
