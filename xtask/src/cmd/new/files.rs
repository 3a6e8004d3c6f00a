//! The example of a package of files.

use super::{Sample, named};

const RECIPE: &str = "\
version: 1
kind: files
package: @NAME@
title: An example of a package of files
license: MIT
# Whom users tell about defects.
maintainer: Somebody <somebody@example.org>
package-version: \"1.0\"
# Raised when the packaging changes and what is in it does not.
release: 1
depends: [libc]
# Also: conflicts, provides, install-if (apk only), alternatives, scripts.
users: [\"@NAME@=851:@NAME@=851\"]
# Settings, which upgrades keep.
conffiles: [/etc/@NAME@.conf]
files:
  - { path: usr/bin/@NAME@, from: ../files/@NAME@/script.sh }
  - { path: etc/@NAME@.conf, text: \"greeting=hello\\n\", mode: \"0644\" }
";

const SCRIPT: &str = "\
#!/bin/sh
# Says the greeting of its settings.
. /etc/@NAME@.conf
echo \"$greeting from @NAME@\"
";

const SCENARIO: &str = "\
version: 1
title: @NAME@ installs, does its work, and is removed
steps:
  - manager: update
  - manager: install
    packages: [@NAME@]
    installed: [@NAME@]
  - run: [@NAME@]
    says: [hello from @NAME@]
  - run: [grep, \"^@NAME@:x:851:851:\", /etc/passwd]
  - manager: remove
    packages: [@NAME@]
    not-installed: [@NAME@]
  - run: [sh, -c, \"find / -xdev -path /proc -prune -o -name '*@NAME@*' -print | grep -v -e /apk/db -e opkg-lists\"]
    exit: nonzero
";

const LIFE: &str = "\
version: 1
title: Settings of @NAME@ outlive upgrade and downgrade
steps:
  - manager: update
  - manager: install
    packages: [@NAME@]
  - run: [sh, -c, \"echo greeting=salve >/etc/@NAME@.conf\"]
    # An upgrade of the system keeps what the owner changed.
    kept-by-sysupgrade: [/etc/@NAME@.conf]
  # The same packages, each in the next release.
  - feed: newer
  - manager: update
  - manager: upgrade
    packages: [@NAME@]
  - manager: list
    each-says: { opkg: [@NAME@ - 1.0-r2], apk: [@NAME@-1.0-r2] }
  - run: [@NAME@]
    says: [salve from @NAME@]
  - feed: published
  - manager: update
  - manager: downgrade
    packages: [@NAME@]
  - manager: list
    each-says: { opkg: [@NAME@ - 1.0-r1], apk: [@NAME@-1.0-r1] }
  - run: [@NAME@]
    says: [salve from @NAME@]
";

/// The files of the example.
pub(super) fn samples(name: &str) -> Vec<Sample> {
    vec![
        (format!("recipes/{name}.yaml"), named(RECIPE, name)),
        (format!("files/{name}/script.sh"), named(SCRIPT, name)),
        (format!("scenarios/{name}.yaml"), named(SCENARIO, name)),
        (format!("scenarios/{name}-life.yaml"), named(LIFE, name)),
    ]
}
