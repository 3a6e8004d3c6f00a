//! Everything else that the kernel says by netlink: routes, IPsec policies, queues and routing rules, hardware's abilities.
#![no_main]

use libfuzzer_sys::fuzz_target;
use offloadctl::{ethtool, netlink, queues, route, xfrm};

fuzz_target!(|datagram: &[u8]| {
    for message in netlink::messages(datagram).flatten() {
        let _ = (route::route(&message), xfrm::policy(&message));
        let _ = (queues::queue(&message), queues::has_mark(&message), ethtool::capability(&message));
    }
});
