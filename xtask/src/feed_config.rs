//! `feeds/feed.yaml`, and the paths of the signing keys in it.

use camino::Utf8PathBuf;
use feeds::keys::Files;
use model::Result;
use serde::Deserialize;

use crate::Ctx;

/// Environment variable with another path for the key of opkg's index.
const OPKG_KEY: &str = "OPENWRT_OFFLOAD_USIGN_KEY";
/// Environment variable with another path for the key of apk's index.
const APK_KEY: &str = "OPENWRT_OFFLOAD_EC_KEY";

/// The content of `feeds/feed.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedConfig {
    #[serde(rename = "version")]
    _version: u32,
    /// Name of the feed in the package managers' configuration.
    pub name: String,
    keys: KeyFiles,
}

/// Names of the key files in the folder for keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFiles {
    opkg: String,
    apk: String,
}

impl FeedConfig {
    /// Reads `feeds/feed.yaml`.
    pub fn load(ctx: &Ctx) -> Result<Self> {
        model::yaml::load(&ctx.root.join("feeds/feed.yaml"))
    }

    /// The paths of the secret keys.
    pub fn key_files(&self, ctx: &Ctx) -> Files {
        self.key_files_with(ctx, |variable| std::env::var(variable).ok())
    }

    fn key_files_with(&self, ctx: &Ctx, environment: impl Fn(&str) -> Option<String>) -> Files {
        let file = |variable, name: &str| match environment(variable) {
            Some(path) if !path.is_empty() => Utf8PathBuf::from(path),
            _ => ctx.keys.join(name),
        };
        Files { opkg: file(OPKG_KEY, &self.keys.opkg), apk: file(APK_KEY, &self.keys.apk) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use model::Events;

    #[test]
    fn keys_are_below_the_configuration_folder_unless_the_environment_says_otherwise() {
        let ctx = ctx("/nowhere".into(), Events::discard());
        let config = FeedConfig::load(&ctx).unwrap();
        let files = config.key_files_with(&ctx, |_| None);
        assert_eq!((files.opkg.as_str(), files.apk.as_str()), ("/nowhere/keys/usign.sec", "/nowhere/keys/ec.pem"));
        let files = config.key_files_with(&ctx, |variable| (variable == APK_KEY).then(|| "/elsewhere".into()));
        assert_eq!((files.opkg.as_str(), files.apk.as_str()), ("/nowhere/keys/usign.sec", "/elsewhere"));
        let files = config.key_files_with(&ctx, |variable| (variable == OPKG_KEY).then(String::new));
        assert_eq!(files.opkg, "/nowhere/keys/usign.sec", "an empty variable counts as unset");
    }
}
