//! Error enums with their texts beside each variant.

/// Defines an error enum with the id and the texts of each variant beside it: `id()`, `what()`, `why()` and `fix()`.
///
/// A text is a format string that may name the variant's fields, and constants that several variants share; or `("…",
/// arguments)` in parentheses. Leave `why` out where `what` says it all. The crate's own `Display` decides how an error
/// is printed.
///
/// ```
/// /// What to do about damaged files.
/// const FETCH_AGAIN: &str = "fetch the file again";
///
/// model::errors! {
///     /// Why a file was refused.
///     #[derive(Debug)]
///     pub enum Error {
///         /// Another kind of file.
///         WrongKind {
///             /// What it looks like.
///             found: &'static str,
///         } => {
///             id: "EX1",
///             what: "this is no archive, but {found}",
///             why: "nothing could be unpacked",
///             fix: "give an archive",
///         }
///         /// The end is missing.
///         Truncated => {
///             id: "EX2",
///             what: "the file ends too early",
///             fix: "{FETCH_AGAIN}",
///         }
///     }
/// }
///
/// let error = Error::WrongKind { found: "a picture" };
/// assert_eq!(error.what(), "this is no archive, but a picture");
/// assert_eq!((Error::Truncated.id(), Error::Truncated.why()), ("EX2", None));
/// ```
#[macro_export]
macro_rules! errors {
    (@text $text:literal) => { ::std::format!($text) };
    (@text ($($text:tt)*)) => { ::std::format!($($text)*) };
    (
        $(#[$meta:meta])*
        $visible:vis enum $name:ident {
            $(
                $(#[$about:meta])*
                $variant:ident $({ $( $(#[$detail:meta])* $field:ident: $type:ty ),* $(,)? })? => {
                    id: $id:literal,
                    what: $what:tt,
                    $(why: $why:tt,)?
                    fix: $fix:tt $(,)?
                }
            )*
        }
    ) => {
        $(#[$meta])*
        $visible enum $name {
            $( $(#[$about])* $variant $({ $( $(#[$detail])* $field: $type ),* })?, )*
        }

        #[allow(unused_variables, clippy::useless_format)]
        impl $name {
            /// The stable id that tests and users refer to.
            $visible fn id(&self) -> &'static str {
                match self {
                    $( $name::$variant { .. } => $id, )*
                }
            }

            /// What happened, one sentence without the full stop.
            $visible fn what(&self) -> String {
                match self {
                    $( $name::$variant $({ $($field),* })? => $crate::errors!(@text $what), )*
                }
            }

            /// Why it happened or why it matters, unless `what` says so already.
            $visible fn why(&self) -> Option<String> {
                match self {
                    $( $name::$variant $({ $($field),* })? => {
                        None::<String> $( .or_else(|| Some($crate::errors!(@text $why))) )?
                    } )*
                }
            }

            /// What to do about it.
            $visible fn fix(&self) -> String {
                match self {
                    $( $name::$variant $({ $($field),* })? => $crate::errors!(@text $fix), )*
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    const AGAIN: &str = "try again";

    errors! {
        /// One variant with all texts, one with the fewest.
        #[derive(Debug)]
        enum Error {
            /// It has fields and a `why`.
            Slow {
                /// Seconds.
                waited: f64,
                /// What was waited for.
                what: &'static str,
            } => {
                id: "KIND003",
                what: "waited for {what:?}",
                why: ("{:.1} s are over", waited),
                fix: "{AGAIN}",
            }
            /// It has neither.
            Gone => {
                id: "KIND004",
                what: "it is gone",
                fix: "look elsewhere",
            }
        }
    }

    #[test]
    fn each_error_has_its_own_texts() {
        let slow = Error::Slow { waited: 2.0, what: "it" };
        assert_eq!((slow.id(), slow.what()), ("KIND003", "waited for \"it\"".to_owned()));
        assert_eq!((slow.why().as_deref(), slow.fix()), (Some("2.0 s are over"), AGAIN.to_owned()));
        let gone = Error::Gone;
        assert_eq!((gone.id(), gone.what(), gone.why()), ("KIND004", "it is gone".to_owned(), None));
        assert_eq!(gone.fix(), "look elsewhere");
    }
}
