//! The page: what it must contain, and what it must never contain.

use super::*;
use crate::report::tests::sample::{HOSTILE, sample};

/// HTML elements without an end tag.
const VOID: [&str; 2] = ["meta", "br"];

/// Finds malformed HTML: an end tag without a start tag, a start tag without an end tag, an attribute without quotes.
fn malformed(page: &str) -> Option<String> {
    let style = page.find("<style>")?..page.find("</style>")?;
    let mut open: Vec<&str> = Vec::new();
    let (mut rest, mut at) =
        (page.strip_prefix("<!DOCTYPE html>")?, page.len() - page.strip_prefix("<!DOCTYPE html>")?.len());
    while let Some(begin) = rest.find('<') {
        let end = begin + rest[begin..].find('>')?;
        let tag = &rest[begin + 1..end];
        if rest[..begin].contains('>') && !style.contains(&at) {
            return Some(format!("a bare > before <{tag}>"));
        }
        match tag.strip_prefix('/') {
            Some(name) if open.pop() != Some(name) => return Some(format!("</{name}> ends nothing")),
            Some(_) => {}
            None => {
                let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
                if attributes.matches('"').count() % 2 != 0 || attributes.contains('<') {
                    return Some(format!("<{tag}> has an open quote"));
                }
                if !VOID.contains(&name) {
                    open.push(name);
                }
            }
        }
        at += end + 1;
        rest = &rest[end + 1..];
    }
    open.pop().map(|name| format!("<{name}> has no end"))
}

#[test]
fn the_page_is_well_formed_and_a_damaged_one_is_not() {
    let page = render(&sample());
    assert_eq!(malformed(&page), None);
    for (from, to) in
        [("</main>", ""), ("</h1>", "</h2>"), ("class=\"banner fail\"", "class=\"banner fail"), ("</td>", "></td>")]
    {
        assert!(page.contains(from), "{from}");
        assert!(malformed(&page.replacen(from, to, 1)).is_some(), "{from} → {to}");
    }
}

#[test]
fn nothing_is_loaded_and_nothing_runs() {
    let page = render(&sample());
    for never in [
        "<script",
        "<link",
        "<img",
        "<iframe",
        "url(",
        "@import",
        " src=",
        "javascript:",
        " onload",
        "http://",
        "https://",
    ] {
        assert!(!page.to_lowercase().contains(never), "{never}");
    }
    assert!(page.contains("default-src 'none'"));
    assert_eq!(page.matches(" href=").count(), page.matches(" href=\"#").count(), "links stay on the page");
}

#[test]
fn texts_of_others_are_escaped_wherever_they_stand() {
    let mut run = sample();
    run.command = HOSTILE.into();
    run.facts[0].value = HOSTILE.into();
    for case in &mut run.cases {
        (case.name, case.expected, case.observed) = (HOSTILE.into(), HOSTILE.into(), format!("{HOSTILE} too"));
        (case.reproduce, case.notes) = (HOSTILE.into(), vec![HOSTILE.into()]);
        for text in [&mut case.record.title, &mut case.record.group, &mut case.record.kernel, &mut case.record.manager]
        {
            *text = HOSTILE.into();
        }
        case.record.samples.iter_mut().for_each(|sample| sample.flow = HOSTILE.into());
        case.record.checks.iter_mut().for_each(|check| check.subject = HOSTILE.into());
    }
    run.costs[0].no_hardware = Some(HOSTILE.into());
    let page = render(&run);
    assert_eq!(malformed(&page), None);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert"));
}

#[test]
fn a_failure_is_told_with_what_was_seen_and_how_to_repeat_it() {
    let page = render(&sample());
    let expected = "\
<h3><span class=\"chip fail\"><span aria-hidden=\"true\">✗</span> FAIL</span> vlan/apk on Linux 6.12</h3>\
<p class=\"what\"><b>PROOF999</b> the forward hook saw 2004 packets; at most 20 may pass it <span class=\"faint\">(udp)</span></p>\
<p class=\"why\">packets took the slow path</p>\
<p class=\"fix\"><b>Fix: </b>look at the rules</p>\
<p>Expected <b>slow, fast</b>, observed <b>slow</b>.</p>\
<p class=\"again\">Repeat it: <code>cargo xtask test vlan --exact --kernel 6.12 --accel tcg</code></p>";
    assert!(page.contains(expected));
    assert!(page.find("What went wrong") < page.find("Expected and observed"), "trouble comes first");
}

#[test]
fn the_matrix_has_a_row_for_each_scenario_and_a_column_for_each_kernel() {
    let page = render(&sample());
    let matrix = page.split("<table class=\"matrix\">").nth(1).unwrap().split("</table>").next().unwrap();
    for part in
        ["Linux 6.1<", "Linux 6.12<", "must not offload", "data-label=\"Linux 6.1\"", "aria-label=\"vlan/apk: FAIL\""]
    {
        assert!(matrix.contains(part), "{part}\n{matrix}");
    }
    assert_eq!(matrix.matches("scope=\"row\"").count(), 5);
    let groups: Vec<&str> =
        matrix.split("scope=\"rowgroup\"").skip(1).filter_map(|part| part.split(['>', '<']).nth(1)).collect();
    assert_eq!(groups, ["must offload", "must not offload", "life"]);
    let cells = matrix.matches("href=\"#case-").count();
    assert_eq!(cells, sample().cases.len(), "every case is a cell");
    assert_eq!(page.matches("id=\"case-").count(), cells, "every cell leads somewhere");
}

#[test]
fn drawings_are_drawn_from_the_figures() {
    let page = render(&sample());
    // 2,319.5 of 8,322.75, the longest; and 100 % for the longest itself.
    assert!(page.contains("width=\"27.87%\"") && page.contains("width=\"100.00%\""));
    assert!(page.contains("2,320 · 32 % of off"));
    assert!(page.contains("aria-label=\"udp, with offload: the forward hook saw 2 of 2,400 packets that arrived\""));
    assert!(page.contains("aria-label=\"udp, control run: the forward hook saw 2,400 of 2,400 packets that arrived\""));
    // From the lower left to the upper right: all packets that arrived.
    assert!(page.contains("<polyline class=\"arrived\" points=\"8,160 116,114.7 224,69.3 332,24\">"));
    let flat = page.matches("<polyline class=\"forwarded\" points=\"8,160 116,159.9 224,159.9 332,159.9\">").count();
    assert!(flat > 0, "the forward hook saw two packets");
}

#[test]
fn a_run_without_scenarios_is_a_page_too() {
    let mut run = Run::new("cargo xtask test".into(), Vec::new());
    run.exit = 130;
    let page = render(&run);
    assert_eq!(malformed(&page), None);
    assert!(page.contains("Interrupted before its end") && !page.contains("<section"));
}

#[test]
fn thousands_are_apart() {
    assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
}

#[test]
fn a_test_of_the_suite_itself_has_a_table_in_place_of_the_matrix() {
    let mut run = sample();
    assert!(!render(&run).contains("id=\"sabotage\""));
    run.cases.iter_mut().for_each(|case| case.record.sabotage = Some("one-device"));
    let page = render(&run);
    for part in ["3 of 5 turned red", "STILL GREEN", "UNCLEAR", "data-label=\"one-device\""] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("id=\"matrix\""));
    assert_eq!(malformed(&page), None);
}

#[test]
fn a_cell_says_what_its_kernel_expects_where_it_is_not_what_others_do() {
    let mut run = sample();
    assert!(!render(&run).contains("<span class=\"title\">fast</span>"));
    let newer = |case: &&mut Case| case.record.scenario == "ip-options" && case.record.kernel == "6.12";
    let case = run.cases.iter_mut().find(newer).unwrap();
    (case.expected, case.observed) = ("fast".into(), "fast".into());
    let page = render(&run);
    assert_eq!(page.matches("<span class=\"title\">fast</span>").count(), 1);
    let at = |part: &str| page.find(part).unwrap();
    assert!(at("offload-ipv4-nat/apk: pass") < at("offload-ipv4-nat/opkg: pass"), "cells are sorted");
    assert!(page.contains("What a forwarded packet costs on Linux 6.12.107"));
}
