//! A card that offloads, between the router and its wires.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::flows::Flows;

/// Ports `lan0` and `wan0` of the card, in place of `eth0` and `eth1`, with these parameters of its driver.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Card(BTreeMap<String, Value>);

/// Of a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(u32),
    Word(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => number.fmt(f),
            Value::Word(word) => word.fmt(f),
        }
    }
}

impl Card {
    /// The parameters and their values.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.to_string()))
    }

    pub(super) fn check(&self, flows: &mut Flows) -> Result<(), String> {
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:,".contains(&byte));
        let unfit = |(name, value): &(&String, &Value)| !plain(name) || !plain(&value.to_string());
        if let Some((name, _)) = self.0.iter().find(unfit) {
            return Err(format!("gives the card `{name}`, which is no parameter of a module with a plain value"));
        }
        if flows.put_in_card() {
            Ok(())
        } else {
            Err("puts a card in whose driver the router lacks: it begins as `card`".into())
        }
    }
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a card that offloads")?;
        self.parameters().try_for_each(|(name, value)| write!(f, ", {name} {value}"))
    }
}
