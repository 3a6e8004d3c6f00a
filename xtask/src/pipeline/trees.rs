//! Trees as `dist` publishes them, for routers of scenarios to subscribe to.

use camino::Utf8PathBuf;
use feeds::dist::{self, Lab, Made};
use model::Result;

use super::feed::Feed;
use super::job::Job;
use super::stages::TREES;
use crate::Ctx;
use crate::stage::{Inputs, stage};

/// A folder of them, each below its name, that routers find at `url`.
pub(super) fn trees(ctx: &Ctx, job: &Job, feed: &Feed, url: &str) -> Result<Utf8PathBuf> {
    let row = job.row();
    let inputs = Inputs::new(format!("trees to subscribe to: {row}"))
        .stage("feed", &feed.folder)
        .text("row", &row)
        .text("name", &feed.name)
        .text("url", url);
    stage(ctx, &TREES, &inputs, |out| {
        let made = Made {
            row,
            inputs: String::new(),
            kernel_version: feed.packages.kernel_version.clone(),
            architecture: feed.packages.arch.clone(),
            files: feed.packages.files()?,
            materials: Vec::new(),
            crates: Vec::new(),
            verdicts: Vec::new(),
        };
        let lab = Lab { feed: &feed.folder, name: &feed.name, url, keys: &feed.keys };
        let names = dist::lab(&lab, &made, out)?;
        Ok(names.join(", "))
    })
}
