//! The packages that a release publishes: what others need and neither we nor an image have comes from there.
//!
//! ```text
//! targets/T/S/packages, targets/T/S/kmods/KERNEL   their indexes are in the signed list of the target
//! packages/ARCH/FEED                               rebuilt after the release; their indexes are signed themselves
//! ```
//!
//! An index names the digest of each of its packages. Those of the feeds can be locked: `openwrt.lock` then has the
//! digest of the index.

mod index;
mod offer;

use camino::Utf8PathBuf;
use formats::ec;
use formats::opened::Need;
use model::Result;

use super::lockfile::Lockfile;
use super::matrix::Row;
use super::resolved::Resolved;
use super::upstream::Upstream;

pub use offer::{Held, Lack, Offer};

/// What can be installed from a release.
#[derive(Debug, Default)]
pub struct Published {
    offers: Vec<Offer>,
    /// The feeds that were read.
    read: Vec<String>,
    /// Those that could not be, each with the reason.
    unread: Vec<String>,
}

impl Upstream {
    /// Reads the indexes of a release; with `locked`, exactly those that it names. `trusted` are apk's keys besides those
    /// that the user named: a release's image has them.
    ///
    /// # Errors
    /// `PUB001` for an index that no trusted key signed, `PUB002` for one that cannot be read, `PUB003` for one that is
    /// not what was locked, and as [`Upstream::fetch`].
    pub fn published(
        &self,
        row: &Row,
        resolved: &Resolved,
        locked: Option<&Lockfile>,
        trusted: &[ec::PublicKey],
    ) -> Result<Published> {
        let mut published = Published::default();
        for place in self.places(row, resolved, locked)? {
            match self.index(row, &place, locked, trusted)? {
                Ok(offers) => {
                    published.read.push(place.name);
                    published.offers.extend(offers);
                }
                Err(why) => published.unread.push(format!("{}: {why}", place.name)),
            }
        }
        published.offers.retain(|offer| offer.fits(resolved.kernel.as_ref()));
        Ok(published)
    }

    /// Fetches packages, each with the digest that its index names.
    ///
    /// # Errors
    /// As [`Upstream::fetch`].
    pub fn fetch_offers(&self, row: &Row, offers: &[&Offer]) -> Result<Vec<Utf8PathBuf>> {
        let artifacts: Vec<_> = offers.iter().map(|offer| &offer.artifact).collect();
        self.fetch(&format!("packages of {} {}", row.release, row.target), &artifacts)
    }
}

impl Published {
    /// The packages that meet a need, with all that they need themselves and `held` lacks.
    ///
    /// # Errors
    /// What cannot be met.
    pub fn meeting(&self, need: &Need, held: &Held) -> Result<Vec<&Offer>, Lack> {
        offer::meeting(&self.offers, need, held)
    }

    /// Where packages were looked for, and where not, in one line.
    pub fn told(&self) -> String {
        let unread = self.unread.join("; ");
        match (self.read.is_empty(), unread.is_empty()) {
            (true, true) => "no feeds".into(),
            (true, false) => format!("no feeds ({unread})"),
            (false, true) => self.read.join(", "),
            (false, false) => format!("{} (not read: {unread})", self.read.join(", ")),
        }
    }
}
