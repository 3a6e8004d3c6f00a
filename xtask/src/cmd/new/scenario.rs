//! The example of a scenario.

use super::{Sample, named};

const SCENARIO: &str = "\
version: 1
# One sentence that is true when the scenario passes.
title: Traffic of @NAME@ takes the fast path once it is offloaded
router: installed
steps:
  # What a package of yours needs: `manager: update`, then `manager: install` with `packages: [NAME]`.
  - run: [uname, -r]
    says: [\".\"]
    loaded: [nf_flow_table]
# The same traffic once without and once with what stands under `offload`.
offload:
  seen-from: 203.0.113.1
  ruleset: |
    table inet lab {
      chain srcnat {
        type nat hook postrouting priority srcnat; policy accept;
        oifname \"eth1\" masquerade
      }
    }
  offload: |
    table inet lab {
      flowtable ft {
        hook ingress priority 0
        devices = { eth0, eth1 }
        counter
      }
      chain fastpath {
        type filter hook forward priority filter + 1; policy accept;
        ct state established flow add @ft
      }
    }
  traffic:
    - { proto: udp, bytes: 500000, size: 1000 }
";

/// The files of the example.
pub(super) fn samples(name: &str) -> Vec<Sample> {
    vec![(format!("scenarios/{name}.yaml"), named(SCENARIO, name))]
}
