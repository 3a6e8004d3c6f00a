//! What a step of a file means: its words, read one by one.
//!
//! One word names the deed; those that stand beside it are the deed's to take, and one that is left over belongs to
//! another deed. Read by hand, as serde keeps neither places nor unknown keys of a type that is put together from
//! others.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::beside::Beside;
use super::card::Card;
use super::command::{Manage, Run};
use super::end::{End, Ending};
use super::module::{Handle, Handling};
use super::ruleset::{Others, Ruleset};
use super::{Deed, Facts, OffloadFlag, OnKernels, Step};

/// Every word of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(field_identifier, rename_all = "kebab-case")]
enum Word {
    Kernels,
    OffloadFlag,
    // Deeds, one a step.
    Run,
    Manager,
    Ruleset,
    RulesetAdd,
    Card,
    Open,
    Exchange,
    Close,
    Abort,
    Conntrack,
    Ftp,
    Load,
    Unload,
    Reload,
    NoLeak,
    Link,
    Feed,
    Sysupgrade,
    // Beside some of them.
    Packages,
    With,
    Exit,
    Says,
    SaysNot,
    EachSays,
    Within,
    // Facts.
    Loaded,
    NotLoaded,
    LoadedFromFeed,
    Installed,
    NotInstalled,
    RootUnchanged,
    Uses,
    Taint,
    KeptBySysupgrade,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As serde spells it: the name's words in small letters, with dashes between them.
        for (at, letter) in format!("{self:?}").char_indices() {
            let dash = if at > 0 && letter.is_ascii_uppercase() { "-" } else { "" };
            write!(f, "{dash}{}", letter.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

/// Makes a deed of what stands beside its word, which may come later in the file.
type Make = Box<dyn FnOnce(&mut Beside) -> Deed>;

/// Reads the value of a deed's word.
fn read<'de, A, T>(map: &mut A, make: fn(T, &mut Beside) -> Deed) -> Result<Make, A::Error>
where
    A: MapAccess<'de>,
    T: Deserialize<'de> + 'static,
{
    let value = map.next_value()?;
    Ok(Box::new(move |beside| make(value, beside)))
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = Step;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a step")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Step, A::Error> {
        let (mut seen, mut deeds) = (BTreeSet::new(), Vec::<(Word, Make)>::new());
        let (mut kernels, mut flag, mut beside, mut facts) = (None, None, Beside::default(), Facts::default());
        while let Some(word) = map.next_key()? {
            if !seen.insert(word) {
                return Err(A::Error::custom(format!("duplicate field `{word}`")));
            }
            let mut deed = |make| deeds.push((word, make));
            match word {
                Word::Run => deed(read(&mut map, Run::written)?),
                Word::Manager => deed(read(&mut map, Manage::written)?),
                Word::Ruleset => deed(read(&mut map, |text, beside| Ruleset::written(text, Others::Go, beside))?),
                Word::RulesetAdd => deed(read(&mut map, |text, beside| Ruleset::written(text, Others::Stay, beside))?),
                Word::Card => deed(read(&mut map, |card: Card, _| Deed::Card(card))?),
                Word::Open => deed(read(&mut map, |plan, _| Deed::Open(plan))?),
                Word::Exchange => deed(read(&mut map, |exchange, _| Deed::Exchange(exchange))?),
                Word::Close => deed(read(&mut map, |flow, _| End::written(flow, Ending::Close))?),
                Word::Abort => deed(read(&mut map, |flow, _| End::written(flow, Ending::Abort))?),
                Word::Conntrack => deed(read(&mut map, |expected, _| Deed::Conntrack(expected))?),
                Word::Ftp => deed(read(&mut map, |plan, _| Deed::Ftp(plan))?),
                Word::Load => deed(read(&mut map, |name, beside| Handle::written(name, Handling::Load, beside))?),
                Word::Unload => deed(read(&mut map, |name, beside| Handle::written(name, Handling::Unload, beside))?),
                Word::Reload => deed(read(&mut map, |name, beside| Handle::written(name, Handling::Reload, beside))?),
                Word::NoLeak => deed(read(&mut map, |modules, _| Deed::NoLeak(modules))?),
                Word::Link => deed(read(&mut map, |link, _| Deed::Link(link))?),
                Word::Feed => deed(read(&mut map, |feed, _| Deed::Feed(feed))?),
                Word::Sysupgrade => deed(read(&mut map, |upgrade, _| Deed::Sysupgrade(upgrade))?),
                Word::With => beside.with = Some(map.next_value()?),
                Word::Packages => beside.packages = Some(map.next_value()?),
                Word::Within => beside.within = Some(map.next_value()?),
                Word::Exit => beside.exit = Some(map.next_value()?),
                Word::Says => beside.says = Some(map.next_value()?),
                Word::SaysNot => beside.says_not = Some(map.next_value()?),
                Word::EachSays => beside.each_says = Some(map.next_value()?),
                Word::Loaded => facts.loaded = map.next_value()?,
                Word::NotLoaded => facts.not_loaded = map.next_value()?,
                Word::LoadedFromFeed => facts.loaded_from_feed = map.next_value()?,
                Word::Installed => facts.installed = map.next_value()?,
                Word::NotInstalled => facts.not_installed = map.next_value()?,
                Word::RootUnchanged => facts.root_unchanged = map.next_value()?,
                Word::Uses => facts.uses = map.next_value()?,
                Word::Taint => facts.taint = Some(map.next_value()?),
                Word::KeptBySysupgrade => facts.kept_by_sysupgrade = map.next_value()?,
                Word::Kernels => kernels = Some(map.next_value::<OnKernels>()?),
                Word::OffloadFlag => flag = Some(map.next_value::<OffloadFlag>()?),
            }
        }
        if let [(one, _), (two, _), ..] = &deeds[..] {
            let what = format!("the step does several things, `{one}` and `{two}`; each needs a step of its own");
            return Err(A::Error::custom(what));
        }
        let deed = deeds.pop().map(|(_, make)| make(&mut beside));
        if let Some(what) = beside.left() {
            return Err(A::Error::custom(what));
        }
        if deed.is_none() && facts.count() == 0 {
            return Err(A::Error::custom("the step neither does nor checks anything"));
        }
        Ok(Step { kernels, flag, deed, facts })
    }
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Step, D::Error> {
        reader.deserialize_map(Words)
    }
}
