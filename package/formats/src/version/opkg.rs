//! opkg's order of versions, which is Debian's: `[epoch:]version[-revision]`.

use std::cmp::Ordering;

use super::Operator;

/// Compares two versions as opkg does. Any text is a version; nothing is refused.
pub fn compare(a: &str, b: &str) -> Ordering {
    let ((epoch_a, version_a, revision_a), (epoch_b, version_b, revision_b)) = (split(a), split(b));
    compare_number(epoch_a.as_bytes(), epoch_b.as_bytes())
        .then_with(|| compare_part(version_a.as_bytes(), version_b.as_bytes()))
        .then_with(|| compare_part(revision_a.as_bytes(), revision_b.as_bytes()))
}

/// Whether opkg lets a package of `version` satisfy `operator wanted`.
///
/// `<<` and `>>` are documented as strict, but opkg accepts equal versions for them (observed). This follows opkg,
/// because a stricter solver would refuse what opkg installs. Use [`compare`] for a strict comparison.
pub fn satisfies(version: &str, operator: Operator, wanted: &str) -> bool {
    let order = compare(version, wanted);
    match operator {
        Operator::Less | Operator::LessOrEqual => order.is_le(),
        Operator::Equal => order.is_eq(),
        Operator::GreaterOrEqual | Operator::Greater => order.is_ge(),
    }
}

/// Epoch, version and revision, split at the first `:` and the last `-`.
fn split(text: &str) -> (&str, &str, &str) {
    let (epoch, rest) = text.split_once(':').unwrap_or(("", text));
    let (version, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, version, revision)
}

/// Debian's order of one part: alternating runs of non-digits and digits.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = a.split_at(run(a, |byte| !byte.is_ascii_digit()));
        let (text_b, rest_b) = b.split_at(run(b, |byte| !byte.is_ascii_digit()));
        let (digits_a, after_a) = rest_a.split_at(run(rest_a, u8::is_ascii_digit));
        let (digits_b, after_b) = rest_b.split_at(run(rest_b, u8::is_ascii_digit));
        let order = compare_text(text_a, text_b).then_with(|| compare_number(digits_a, digits_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (after_a, after_b);
    }
    Ordering::Equal
}

fn run(bytes: &[u8], accept: impl Fn(&u8) -> bool) -> usize {
    bytes.iter().position(|byte| !accept(byte)).unwrap_or(bytes.len())
}

/// `~` sorts before the end, the end before letters, letters before everything else.
fn compare_text(a: &[u8], b: &[u8]) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        None => 0,
        Some(b'~') => -1,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other) + 256,
    };
    let length = a.len().max(b.len());
    (0..length)
        .map(|at| weight(a.get(at)).cmp(&weight(b.get(at))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Numbers of any length; leading zeros do not count, no digits mean zero.
fn compare_number(a: &[u8], b: &[u8]) -> Ordering {
    let strip = |digits: &[u8]| digits.len() - run(digits, |&byte| byte == b'0');
    let (length_a, length_b) = (strip(a), strip(b));
    length_a.cmp(&length_b).then_with(|| a[a.len() - length_a..].cmp(&b[b.len() - length_b..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_made_by_opkg() {
        let table = include_str!("../../tests/golden/version/opkg-compare.csv");
        let mut rows = 0;
        for line in table.lines().skip(1) {
            let [a, b, result] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let order = match result {
                "<" => Ordering::Less,
                "=" => Ordering::Equal,
                ">" => Ordering::Greater,
                other => panic!("{other}"),
            };
            assert_eq!(compare(a, b), order, "{line}");
            assert_eq!(compare(b, a), order.reverse(), "{line} reversed");
            rows += 1;
        }
        assert_eq!(rows, 420);
    }

    #[test]
    fn every_constraint_accepts_an_equal_version_as_in_opkg() {
        for operator in
            [Operator::Less, Operator::LessOrEqual, Operator::Equal, Operator::GreaterOrEqual, Operator::Greater]
        {
            assert!(satisfies("1.0", operator, "1.00"));
        }
        assert!(!satisfies("2", Operator::Less, "1"));
        assert!(!satisfies("1", Operator::Greater, "2"));
        assert!(satisfies("6.12.94~aa-r1", Operator::Equal, "6.12.94~aa-r1"));
        assert!(!satisfies("6.12.94~aa-r1", Operator::Equal, "6.12.94~bb-r1"));
    }

    proptest::proptest! {
        #[test]
        fn any_two_texts_have_one_order(a in "[0-9a-z~+.:-]{0,12}", b in "[0-9a-z~+.:-]{0,12}") {
            proptest::prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        }
    }
}
