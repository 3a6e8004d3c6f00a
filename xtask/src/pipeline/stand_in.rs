//! The stand-in's image: Debian's kernel of the packages, and programs around it.

use camino::{Utf8Path, Utf8PathBuf};
use host::aside;
use model::{Result, Target};
use sdk::local::Kernel;
use vm::image;
use vm::session::Image;

use super::feed::Feed;
use super::provider;
use super::router::Booted;
use super::stages::IMAGE;
use crate::Ctx;
use crate::cli::Selection;
use crate::stage::{Inputs, stage};

/// What the router's network cards need; kernels that have one of them built in are fine.
const NETWORK_MODULES: [&str; 2] = ["virtio_pci", "virtio_net"];

/// Modules that lie in the image for scenarios to load: what surrounds flow offload on a router. None of netfilter's
/// is among them: those come from the packages under test.
const SPARE_MODULES: [&str; 14] = [
    "8021q",
    "act_mirred",
    "authenc",
    "bridge",
    "cls_matchall",
    "crypto_null",
    "esp4",
    "ifb",
    "pppoe",
    "sch_cake",
    "sch_ingress",
    "sch_tbf",
    "veth",
    "xfrm_user",
];

/// The stand-in for the kernel that the packages were made for.
pub(super) fn guest(ctx: &Ctx, target: &Target, feed: &Feed, selection: &Selection) -> Result<Booted> {
    let recipe = image::Recipe::embedded()?;
    let programs = provider::image_programs(ctx, &recipe.packages, selection)?;
    let opkg = provider::guest_client(ctx)?;
    let kernel = &feed.packages.kernel;
    let inputs = Inputs::new(format!("stand-in image for {target}"))
        .stage("kernel", kernel)
        .stage("programs", &programs)
        .path("opkg", &opkg)
        .text("modules", [&NETWORK_MODULES[..], &SPARE_MODULES[..]].concat().join(" "));
    let folder = stage(ctx, &IMAGE, &inputs, |out| build_image(feed, &recipe, &programs, &opkg, out))?;
    let vmlinux = kernel.join("vmlinux");
    Ok(Booted {
        image: Image::in_memory(vmlinux.clone(), folder.join("initramfs"), image::READY),
        probe: Image::in_memory(vmlinux, folder.join("probe"), image::PROBE_READY),
        kernel: kernel.clone(),
        folder,
        label: format!("stand-in router, Linux {}", Kernel::open(kernel)?.id().version),
        kernel_line: selection.kernel()?.word().to_owned(),
        wiring: None,
    })
}

fn build_image(
    feed: &Feed,
    recipe: &image::Recipe,
    programs: &Utf8Path,
    opkg: &Utf8Path,
    out: &Utf8Path,
) -> Result<String> {
    let kernel = Kernel::open(&feed.packages.kernel)?;
    let take = |names: &[&str], folder: &str| -> Result<Vec<Utf8PathBuf>> {
        let folder = out.join(folder);
        Ok(kernel.take(names, &folder)?.iter().map(|file| folder.join(file)).collect())
    };
    let (boot_modules, spare_modules) = (take(&NETWORK_MODULES, "modules")?, take(&SPARE_MODULES, "spare-modules")?);
    let packages = [programs.to_owned()];
    let mut extra = vec![image::Extra { path: "/bin/opkg".into(), source: opkg.to_owned(), mode: 0o755 }];
    // opkg's view of the running kernel is the image's own; apk's database is its client's to write.
    for (path, text) in client::apk::image_state(&kernel.id().package_version(), &feed.packages.arch.0) {
        let source = out.join(path.replace('/', "_"));
        aside::write(&source, text.as_bytes())?;
        extra.push(image::Extra { path: path.into(), source, mode: 0o644 });
    }
    let inputs = image::Inputs {
        packages: &packages,
        kernel_release: kernel.release(),
        boot_modules: &boot_modules,
        spare_modules: &spare_modules,
        kernel: kernel.id(),
        arch: &feed.packages.arch,
        extra: &extra,
    };
    let bytes = image::build(recipe, &inputs)?;
    aside::write(&out.join("initramfs"), &bytes)?;
    aside::write(&out.join("probe"), image::probe(recipe, &packages)?)?;
    Ok(format!("{} MiB initramfs, a stand-in for an OpenWrt image", bytes.len() >> 20))
}
