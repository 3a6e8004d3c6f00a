//! A unified diff of two texts that differ in one place, as `diff -u` prints it and `patch` takes it.

use std::io::{self, Write};

/// Lines shown around the change.
const CONTEXT: usize = 3;

/// Writes what turns `before` into `after`; nothing when they are alike. Changes far apart make one large hunk.
///
/// # Errors
/// Of the writer.
pub fn write(out: &mut dyn Write, name: &str, before: &[u8], after: &[u8]) -> io::Result<()> {
    if before == after {
        return Ok(());
    }
    let (old, new): (Vec<_>, Vec<_>) = (lines(before), lines(after));
    let front = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rests = old[front..].iter().rev().zip(new[front..].iter().rev());
    let back = rests.take_while(|(old, new)| old == new).count();
    let start = front.saturating_sub(CONTEXT);
    let trailing = back.min(CONTEXT);
    let (old_end, new_end) = (old.len() - back, new.len() - back);

    writeln!(out, "--- {name}\n+++ {name}")?;
    let range = |end: usize| {
        let length = end + trailing - start;
        // The position before an empty range is that of the line above it.
        format!("{},{length}", if length == 0 { start } else { start + 1 })
    };
    writeln!(out, "@@ -{} +{} @@", range(old_end), range(new_end))?;
    let parts = [
        (b' ', &old[start..front]),
        (b'-', &old[front..old_end]),
        (b'+', &new[front..new_end]),
        (b' ', &old[old_end..old_end + trailing]),
    ];
    for (sign, lines) in parts {
        for line in lines {
            out.write_all(&[sign])?;
            out.write_all(line)?;
            if !line.ends_with(b"\n") {
                writeln!(out, "\n\\ No newline at end of file")?;
            }
        }
    }
    Ok(())
}

/// Lines with their ends; the last one may lack it.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn diff(before: &str, after: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, "f", before.as_bytes(), after.as_bytes()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn looks_like_that_of_diff() {
        assert_eq!(diff("a\n", "a\n"), "");
        assert_eq!(
            diff("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n"),
            "--- f\n+++ f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"
        );
        assert_eq!(diff("", "a\n"), "--- f\n+++ f\n@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(diff("a", "a\n"), "--- f\n+++ f\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n");
    }

    /// What `patch` does with a hunk.
    fn patched(before: &str, diff: &str) -> String {
        let mut lines = diff.split_inclusive('\n').skip(2);
        let Some(header) = lines.next() else { return before.into() };
        let numbers: Vec<usize> = header.split(['-', ',', ' ', '+']).filter_map(|word| word.parse().ok()).collect();
        let (at, length) = (numbers[0], numbers[1]);
        let old: Vec<&str> = before.split_inclusive('\n').collect();
        let skipped = if length == 0 { at } else { at - 1 };
        let mut new = old[..skipped].concat();
        for line in lines {
            match line.split_at(1) {
                ("\\", _) => {
                    new.pop();
                }
                ("-", _) => {}
                (_, text) => new += text,
            }
        }
        new + &old[skipped + length..].concat()
    }

    proptest! {
        #[test]
        fn patching_gives_the_other_text(before in "([ab]{0,2}\n){0,12}", after in "([ab]{0,2}\n){0,12}") {
            prop_assert_eq!(patched(&before, &diff(&before, &after)), after);
        }
    }
}
