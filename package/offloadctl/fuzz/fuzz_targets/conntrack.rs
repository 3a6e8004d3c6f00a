//! Datagrams of ctnetlink become flows or an error, and every flow can be listed, as text and as JSON.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use offloadctl::conntrack;
use offloadctl::flows::Source;
use offloadctl::list::{self, FlowList, Origin};
use offloadctl::netlink;
use offloadctl::top::{Sort, Top};

fuzz_target!(|datagram: &[u8]| {
    let origin = Origin { source: Source::Netlink, accounting: Some(true), timestamps: None, sort: Some(Sort::Age) };
    let (mut text, mut json) = (Vec::new(), Vec::new());
    let mut lists = [(&mut text, false), (&mut json, true)].map(|(out, json)| FlowList::new(out, json, origin));
    let mut top = Top::new(Sort::Bytes, 2);
    for message in netlink::messages(datagram).flatten() {
        let _ = message.error_number();
        if let Ok(flow) = conntrack::from_netlink(&message, Duration::from_secs(1_700_000_000)) {
            lists.iter_mut().for_each(|list| list.flow(&flow).unwrap());
            assert!(!list::short_line(&flow).contains('\n'));
            let _ = flow.details.helper_name();
            top.add(&flow);
        }
    }
    assert!(top.into_flows().count() <= 2);
    let _: [(); 2] = lists.map(|list| list.end(None).unwrap());
    assert!(text.is_ascii() && json.is_ascii() && json.ends_with(b"}\n"));
});
