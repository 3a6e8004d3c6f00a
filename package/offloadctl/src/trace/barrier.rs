//! Why a packet did not come to a rule: the one rule that decides it.

use super::{Match, Ruleset, Trace};
use crate::ruleset::{Expression, Hook, Rule, Verdict};

/// Deeper than chains call each other.
const DEEPEST: usize = 16;

/// What keeps a packet from a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barrier<'a> {
    /// It met this rule before, and was accepted, sent back or handed to a program by it.
    Left(&'a Rule, &'a Verdict),
    /// The conditions of the rule do not hold.
    Conditions,
    /// This rule would lead to it, and its conditions do not hold.
    Jump(&'a Rule),
    /// Nothing leads to its chain.
    Orphan,
}

impl Ruleset {
    /// What kept the packet of a trace from a rule.
    pub fn barrier<'a>(&'a self, wanted: &'a Rule, trace: &Trace<'a>) -> Barrier<'a> {
        let mut target = wanted;
        for _ in 0..DEEPEST {
            if trace.steps.iter().any(|step| std::ptr::eq(step.rule, target)) {
                return if std::ptr::eq(target, wanted) { Barrier::Conditions } else { Barrier::Jump(target) };
            }
            let same_chain =
                |rule: &Rule| (rule.family, &rule.table, &rule.chain) == (target.family, &target.table, &target.chain);
            // It was in the chain, and left it before.
            if let Some(place) = trace.steps.iter().rposition(|step| same_chain(step.rule)) {
                let mut rest = trace.steps.iter().skip(place);
                let ends = |rule: &Rule| trace.accepted.iter().any(|accepted| std::ptr::eq(*accepted, rule));
                let accepted = rest.clone().find(|step| ends(step.rule));
                let last = rest.next().filter(|step| !matches!(step.verdict, Some(Verdict::Jump(_))));
                let Some(step) = last.or(accepted) else { return Barrier::Conditions };
                return match step.verdict {
                    Some(verdict) if step.matched != Match::No => Barrier::Left(step.rule, verdict),
                    _ => Barrier::Conditions,
                };
            }
            let callers: Vec<_> = self.callers(target).collect();
            let is_met = |rule: &&&Rule| trace.steps.iter().any(|step| std::ptr::eq(step.rule, **rule));
            match callers.iter().find(is_met).or(callers.first()) {
                Some(caller) => target = caller,
                None => break,
            }
        }
        Barrier::Orphan
    }

    /// Whether packets can come to a rule from a hook, whatever its conditions are.
    pub fn is_reachable(&self, rule: &Rule, hook: Hook) -> bool {
        let mut seen = vec![rule];
        let mut next = 0;
        while let Some(rule) = seen.get(next).copied() {
            next += 1;
            let family = if rule.family.0 == 10 { 10 } else { 2 };
            let mut chains = self.chains.iter().filter(|chain| rule.is_in(chain));
            if chains.any(|chain| chain.priority_at(hook, family).is_some()) {
                return true;
            }
            for caller in self.callers(rule) {
                let is_known = |known: &&Rule| (&known.table, &known.chain) == (&caller.table, &caller.chain);
                if !seen.iter().any(is_known) {
                    seen.push(caller);
                }
            }
        }
        false
    }

    /// Rules that lead to the chain of another one.
    fn callers<'a>(&'a self, to: &'a Rule) -> impl Iterator<Item = &'a Rule> {
        let leads =
            |verdict: &Verdict| matches!(verdict, Verdict::Jump(name) | Verdict::Goto(name) if *name == to.chain);
        self.rules.iter().filter(move |rule| {
            (rule.family, &rule.table) == (to.family, &to.table)
                && rule.expressions.iter().any(|expression| match expression {
                    Expression::Verdict(verdict) => leads(verdict),
                    Expression::Lookup { set, map: true, .. } => self.sets.iter().any(|known| {
                        (known.family, &known.table, &known.name) == (rule.family, &rule.table, set)
                            && known.elements.iter().flatten().filter_map(|element| element.verdict.as_ref()).any(leads)
                    }),
                    _ => false,
                })
        })
    }
}
