//! A scratch root that imitates a router: it trusts some keys, has the package `kernel` in one version, and reads one
//! address. No maintainer script is run.

use camino::Utf8Path;
use client::{apk, opkg};
use formats::{Format, Package};
use model::{Arch, Exit, Failure, Result};

use crate::explain;
use crate::trust::Trust;

/// The image's C library: everything that OpenWrt builds depends on it, in any version.
const LIBC: (&str, &str) = ("libc", "1");

/// Removed, with everything installed in it, on drop.
pub(crate) struct Router {
    folder: tempfile::TempDir,
    format: Format,
    architecture: Arch,
}

/// The result of either manager's client.
type Said<T> = std::result::Result<T, client::Error>;

enum Client {
    Opkg(opkg::Client),
    Apk(apk::Client),
}

impl Router {
    /// `image`: names and versions of what the image has besides.
    pub(crate) fn new(
        format: Format,
        architecture: &Arch,
        kernel: &str,
        image: &[(String, String)],
        trust: &Trust,
    ) -> Result<Router> {
        let folder = tempfile::tempdir().map_err(|error| Failure::io("make a scratch root", "/tmp", &error))?;
        if Utf8Path::from_path(folder.path()).is_none() {
            let error = std::io::ErrorKind::InvalidFilename.into();
            return Err(Failure::io("use a scratch root", folder.path().display(), &error));
        }
        let router = Router { folder, format, architecture: architecture.clone() };
        let mut parts = vec![LIBC];
        parts.extend(image.iter().map(|(name, version)| (name.as_str(), version.as_str())));
        match format {
            Format::Ipk => {
                for key in &trust.usign {
                    router.put(&format!("etc/opkg/keys/{}", key.fingerprint), &key.to_text("trusted"))?;
                }
                let part = |(name, version)| {
                    let installed = "Status: install user installed";
                    format!("Package: {name}\nVersion: {version}\n{installed}\nArchitecture: {architecture}\n\n")
                };
                let all = std::iter::once((Package::KERNEL, kernel)).chain(parts);
                router.put("usr/lib/opkg/status", &all.into_iter().map(part).collect::<String>())?;
            }
            Format::Apk => {
                for key in &trust.ec {
                    let pem = key.to_pem().map_err(|error| explain(Exit::Bug, "the public key", &error))?;
                    router.put(&format!("etc/apk/keys/{}.pem", key.id()), &pem)?;
                }
                for (path, text) in apk::image_state_with(kernel, &parts, &architecture.0) {
                    router.put(path.trim_start_matches('/'), &text)?;
                }
            }
        }
        Ok(router)
    }

    /// Sets the feed's address, replacing an earlier one.
    pub(crate) fn reads(&self, folder: &str) -> Result<()> {
        match self.format {
            Format::Ipk => self.put("etc/opkg/customfeeds.conf", &format!("src/gz verified {folder}\n")),
            Format::Apk => {
                let line = format!("{folder}/{}\n", crate::apk::INDEX);
                self.put("etc/apk/repositories.d/customfeeds.list", &line)
            }
        }
    }

    pub(crate) fn update(&self) -> Said<()> {
        match self.client()? {
            Client::Opkg(client) => client.update(&mut |_| ()),
            Client::Apk(client) => client.update(&mut |_| ()),
        }
    }

    /// Names of the packages at the address.
    pub(crate) fn available(&self) -> Said<Vec<String>> {
        Ok(match self.client()? {
            Client::Opkg(client) => client.available()?.into_iter().map(|control| control.package).collect(),
            Client::Apk(client) => client.available()?.into_iter().map(|info| info.name).collect(),
        })
    }

    pub(crate) fn install(&self, names: &[String]) -> Said<()> {
        match self.client()? {
            Client::Opkg(client) => client.install(names, &mut |_| ()),
            Client::Apk(client) => client.add(names, &mut |_| ()),
        }
    }

    /// Names and versions of the packages installed from it, sorted by name.
    pub(crate) fn installed(&self) -> Said<Vec<(String, String)>> {
        let packages: Vec<(String, String)> = match self.client()? {
            Client::Opkg(client) => {
                let installed = client.installed()?.into_iter();
                installed.map(|package| (package.control.package, package.control.version)).collect()
            }
            Client::Apk(client) => {
                client.installed()?.into_iter().map(|package| (package.info.name, package.info.version)).collect()
            }
        };
        let is_of_image = |name: &str| name == Package::KERNEL || name == LIBC.0;
        let mut packages: Vec<_> = packages.into_iter().filter(|(name, _)| !is_of_image(name)).collect();
        packages.sort();
        Ok(packages)
    }

    /// Everything that is installed.
    #[cfg(test)]
    pub(crate) fn upgrade(&self) -> Said<()> {
        let names: Vec<String> = self.installed()?.into_iter().map(|(name, _)| name).collect();
        match self.client()? {
            Client::Opkg(client) => client.upgrade(&names, &mut |_| ()),
            Client::Apk(client) => client.upgrade(&[], &mut |_| ()),
        }
    }

    fn client(&self) -> Said<Client> {
        let path = self.path();
        Ok(match self.format {
            Format::Ipk => {
                let config = opkg::Root::open(path).and_then(|root| opkg::Config::load_offline(&root))?;
                let config = config.with_arch("all", 1).with_arch(&self.architecture.0, 10);
                Client::Opkg(opkg::Client::new(opkg::Root::open(path)?, config))
            }
            Format::Apk => {
                let config = apk::Root::open(path).and_then(|root| apk::Config::load(&root))?;
                Client::Apk(apk::Client::new(apk::Root::open(path)?, config))
            }
        })
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).unwrap_or(Utf8Path::new("/nonexistent"))
    }

    fn put(&self, path: &str, text: &str) -> Result<()> {
        let path = self.path().join(path);
        let folder = path.parent().unwrap_or(self.path());
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| Failure::io("prepare the scratch root", &path, &error))
    }
}
