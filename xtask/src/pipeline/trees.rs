//! Trees as `dist` publishes them, to which the routers in scenarios subscribe.

use camino::Utf8PathBuf;
use feeds::dist::{self, Lab, Made};
use model::Result;

use super::feed::Feed;
use super::job::Job;
use super::stages::TREES;
use super::successor::Older;
use crate::Ctx;
use crate::stage::{Inputs, stage};

/// Makes a folder of trees, each below its name, which routers find at `url`; one of them also has the packages of the
/// older kernel, if there is one.
pub(super) fn trees(ctx: &Ctx, job: &Job, feed: &Feed, older: Option<&Older>, url: &str) -> Result<Utf8PathBuf> {
    let row = job.row();
    let inputs = Inputs::new(format!("trees to subscribe to: {row}"))
        .stage("feed", &feed.folder)
        .text("row", &row)
        .text("name", &feed.name)
        .text("url", url);
    let inputs = older.iter().fold(inputs, |inputs, older| inputs.stage("older feed", &older.feed.folder));
    stage(ctx, &TREES, &inputs, |out| {
        let made = made_of(job, feed)?;
        let older = older.map(|older| made_of(&older.job, &older.feed)).transpose()?;
        let lab = Lab { feed: &feed.folder, name: &feed.name, url, keys: &feed.keys, older: older.as_ref() };
        let names = dist::lab(&lab, &made, out)?;
        Ok(names.join(", "))
    })
}

/// What is published of a feed.
fn made_of(job: &Job, feed: &Feed) -> Result<Made> {
    Ok(Made {
        row: job.row(),
        inputs: String::new(),
        kernel_version: feed.packages.kernel_version.clone(),
        architecture: feed.packages.arch.clone(),
        files: feed.packages.files()?,
        materials: Vec::new(),
        crates: Vec::new(),
    })
}
