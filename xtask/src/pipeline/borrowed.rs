//! What the release's own feeds lend: packages that ours, the user's and scenarios need, and neither we nor the image have.
//!
//! They are put beside the others in the feed that the lab serves, so that the router's own manager finds and installs
//! them; what is published has none of them, since routers have the release's feeds themselves.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use formats::opened::{Need, Opened};
use model::{Failure, Result};
use scenarios::{Borrowed, Scenario};
use sdk::openwrt::{Held, Offer, Published};

use super::brought::{self, Brought};
use super::feed::Feed;
use super::image_says;
use super::job::Job;
use super::packages::Copies;
use super::router::Router;
use super::stages::BORROWED;
use crate::Ctx;
use crate::stage::{Inputs, stage};

/// The packages that were lent, and what is told of them and of those that were not.
#[derive(Default)]
pub(super) struct Lent {
    pub(super) copies: Option<Copies>,
    pub(super) told: Borrowed,
}

/// Borrows what the feed's packages and these scenarios need. What needs a kmod that was not made (`gone`) lacks that one
/// only, which was told already.
///
/// # Errors
/// `OWN008` for a package of the feed that needs what nobody has.
pub(super) fn borrow(
    ctx: &Ctx,
    job: &Job,
    router: &Router,
    feed: &Feed,
    scenarios: &[Scenario],
    gone: &BTreeSet<String>,
) -> Result<Lent> {
    let Some(release) = job.provider.release() else { return Ok(Lent::default()) };
    let opened = brought::opened(&feed.packages.files()?)?;
    let named: BTreeSet<&str> =
        scenarios.iter().flat_map(|scenario| &scenario.needs.packages).map(String::as_str).collect();
    let mut held = Held::default();
    add_all(&mut held, &opened);
    let is_gone = |need: &Need| need.names.iter().any(|name| gone.contains(name));
    let is_open = |held: &Held, need: &Need| !is_of_every_image(need) && !is_gone(need) && !held.meets(need);
    if named.is_empty() && opened.iter().flat_map(|one| &one.package.needs).all(|need| !is_open(&held, need)) {
        return Ok(Lent::default());
    }
    let says = image_says::ask(ctx, router)?;
    let mut held = says.held;
    add_all(&mut held, &opened);
    let open = |one: &&Brought| one.package.needs.iter().any(|need| is_open(&held, need));
    if named.is_empty() && !opened.iter().any(|one| open(&one)) {
        return Ok(Lent::default());
    }
    let published = release.published(ctx, &says.keys)?;
    let mut chosen: BTreeMap<&str, &Offer> = BTreeMap::new();
    for one in &opened {
        for need in one.package.needs.iter().filter(|need| is_open(&held, need)) {
            let offers = published
                .meeting(need, &held)
                .map_err(|lack| brought::nowhere(one, &lack.to_string(), &published.told()))?;
            chosen.extend(offers.into_iter().map(|offer| (offer.name.as_str(), offer)));
        }
    }
    let mut told = Borrowed::default();
    for name in named {
        match lent(&published, name, &held) {
            Ok(offers) => {
                told.has.insert(name.to_owned());
                chosen.extend(offers.into_iter().map(|offer| (offer.name.as_str(), offer)));
            }
            Err(why) => drop(told.lacks.insert(name.to_owned(), why)),
        }
    }
    let offers: Vec<&Offer> = chosen.into_values().collect();
    Ok(Lent { copies: copies(ctx, &offers, |offers| release.fetch_offers(ctx, offers))?, told })
}

/// What comes of one name that scenarios need; what is there already need not be lent.
fn lent<'a>(published: &'a Published, name: &str, held: &Held) -> Result<Vec<&'a Offer>, String> {
    let need = Need { names: vec![name.to_owned()], exact: None };
    published.meeting(&need, held).map_err(|lack| format!("its feeds have no {lack}: {}", published.told()))
}

/// Names that need not be looked for: an image without them would not run.
fn is_of_every_image(need: &Need) -> bool {
    need.names.iter().any(|name| brought::OF_IMAGES.contains(&name.as_str()))
}

fn add_all(held: &mut Held, opened: &[Brought]) {
    for one in opened {
        let Opened { name, version, provides, .. } = &*one.package;
        held.add(name, version, provides.clone());
    }
}

/// The packages under the names that feeds use.
fn copies(
    ctx: &Ctx,
    offers: &[&Offer],
    fetch: impl Fn(&[&Offer]) -> Result<Vec<Utf8PathBuf>>,
) -> Result<Option<Copies>> {
    if offers.is_empty() {
        return Ok(None);
    }
    let names: Vec<String> = offers.iter().map(|offer| format!("{} {}", offer.name, offer.version)).collect();
    let inputs = Inputs::new("packages of the release's own feeds");
    let inputs = offers.iter().fold(inputs, |inputs, offer| {
        let name = offer.artifact.path.file_name().unwrap_or_default();
        inputs.text("package", format!("{name} {}", offer.artifact.sha256))
    });
    let name = |offer: &Offer| offer.artifact.path.file_name().unwrap_or_default().to_owned();
    let folder = stage(ctx, &BORROWED, &inputs, |out| {
        for (offer, file) in offers.iter().zip(fetch(offers)?) {
            let target = out.join(name(offer));
            std::fs::copy(&file, &target).map_err(|error| Failure::io("copy the package", &target, &error))?;
        }
        Ok(names.join(", "))
    })?;
    let files = offers.iter().map(|offer| (folder.join(name(offer)), offer.artifact.path.clone())).collect();
    Ok(Some(Copies { folder, files }))
}
