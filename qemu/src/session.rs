//! A running guest: booted or resumed, spoken to, and gone when dropped.

use std::time::Duration;

use camino::Utf8PathBuf;
use model::{Accel, Cancel, Deadline, Failure, Result};
use serde_json::json;
use tempfile::TempDir;

use crate::console::{Console, Trouble};
use crate::guest::{About, Guest, Origin, Output};
use crate::machine::{Links, Machine, MemoryFile, Sockets, Start};

pub use crate::machine::Image;
use crate::process::{Process, Qemu};
use crate::qmp::Qmp;
use crate::state::Saved;
use crate::{memory, overlay, sockets};

/// How long QEMU may take to end after it closed the console, before its last words are read.
const END_WAIT: Duration = Duration::from_secs(2);

/// Everything that a start needs.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The emulator.
    pub qemu: &'a Qemu,
    /// The kind of router.
    pub machine: &'a Machine,
    /// What it runs.
    pub image: &'a Image,
    /// How it runs.
    pub accel: Accel,
    /// Sockets that somebody already listens on; `None` for a guest without network cards.
    pub links: Option<Links<'a>>,
    /// Whether its state will be saved: it has its memory in a file then.
    pub saved: bool,
    /// The user's interrupt.
    pub cancel: &'a Cancel,
}

/// A guest with a shell on its console. Dropping it kills QEMU.
///
/// The kernel also kills QEMU when the thread that made the session ends: use it on that thread, or
/// keep the thread alive.
pub struct Session {
    console: Console,
    pub(crate) qmp: Qmp,
    pub(crate) cancel: Cancel,
    process: Process,
    /// What it is, and what it prints when it is ready.
    about: About,
    ready: String,
    /// What the guest wrote to its disk, if it has one.
    pub(crate) overlay: Option<Utf8PathBuf>,
    /// The file that is its memory, if its state will be saved.
    pub(crate) memory: Option<Utf8PathBuf>,
    /// Sockets, messages, overlay and memory; removed last.
    pub(crate) folder: TempDir,
}

/// A QEMU that has connected and whose guest has said nothing yet.
pub(crate) struct Started {
    pub(crate) console: Console,
    pub(crate) qmp: Qmp,
    pub(crate) process: Process,
    pub(crate) overlay: Option<Utf8PathBuf>,
    pub(crate) memory: Option<Utf8PathBuf>,
    pub(crate) folder: TempDir,
}

/// Starts QEMU and waits for its two channels. With a saved state, which QEMU will find on its standard input, it
/// waits to be told to read it.
pub(crate) fn start(launch: &Launch<'_>, state: Option<Saved>, deadline: Deadline) -> Result<Started> {
    let temporary = std::env::temp_dir();
    let failed = |error: &std::io::Error| Failure::io("make a folder for sockets", temporary.display(), error);
    let folder = tempfile::Builder::new().prefix("vm-").tempdir().map_err(|error| failed(&error))?;
    let path = |name: &str| in_folder(&folder, name);
    let (console_path, control_path) = (path("console")?, path("control")?);
    let (console, control) = (sockets::listen(&console_path)?, sockets::listen(&control_path)?);
    let overlay = launch.image.disk.as_ref().map(|disk| {
        let overlay = path("disk")?;
        overlay::create(&overlay, disk).map(|()| overlay)
    });
    let overlay = overlay.transpose()?;
    // Each guest changes a memory of its own; only one that will be saved needs it in a file.
    let of_state = state.as_ref().map(|state| state.memory.as_path());
    let memory = launch.saved.then(|| path("memory")).transpose()?;
    if let (Some(memory), Some(saved)) = (&memory, of_state) {
        memory::copy(saved, memory, launch.cancel, deadline)?;
    }
    let file = memory.as_deref().or(of_state);
    let words = launch.machine.arguments(&Start {
        image: launch.image,
        overlay: overlay.as_deref(),
        memory: file.map(|path| MemoryFile { path, shared: launch.saved }),
        accel: launch.accel,
        sockets: Sockets { console: &console_path, control: &control_path, links: launch.links },
        incoming: state.is_some(),
    });
    let state = state.map(|state| state.devices);
    let process = Process::start(&launch.qemu.binary, &words, state, &path("messages")?)?;
    let ended = || process.ended().map(|_| process.last_words());
    let console = sockets::accept(&console, "its console", ended, launch.cancel, deadline)?;
    let control = sockets::accept(&control, "its control channel", ended, launch.cancel, deadline)?;
    let console = Console::new(console, launch.cancel.clone())
        .map_err(|error| Failure::io("use the console's socket", &console_path, &error))?;
    let qmp = Qmp::connect(control, launch.cancel.clone(), deadline).map_err(|failure| {
        // A QEMU that gives up after it has connected says why only in its last words.
        match process.wait(Deadline::after(END_WAIT.min(deadline.left()))) {
            Some(_) => sockets::not_opened("its control channel", &process.last_words()),
            None => failure,
        }
    })?;
    Ok(Started { console, qmp, process, overlay, memory, folder })
}

pub(crate) fn in_folder(folder: &TempDir, name: &str) -> Result<Utf8PathBuf> {
    Utf8PathBuf::from_path_buf(folder.path().join(name)).map_err(|path| {
        let error = std::io::Error::from(std::io::ErrorKind::InvalidFilename);
        Failure::io("use a folder whose name is not UTF-8", path.display(), &error)
    })
}

impl Started {
    /// The failure for trouble on the console, with what is known of QEMU's end.
    pub(crate) fn explain(&self, trouble: Trouble) -> Failure {
        explain(&self.console, &self.process, trouble)
    }

    pub(crate) fn into_session(self, launch: &Launch<'_>) -> Session {
        let Started { console, qmp, process, overlay, memory, folder } = self;
        let about = About { label: "a guest in QEMU".into(), kernel: String::new(), origin: Origin::StandIn };
        let (cancel, ready) = (launch.cancel.clone(), launch.image.ready.clone());
        Session { console, qmp, cancel, process, about, ready, overlay, memory, folder }
    }
}

fn explain(console: &Console, process: &Process, trouble: Trouble) -> Failure {
    if matches!(trouble, Trouble::Closed) {
        let _ended = process.wait(Deadline::after(END_WAIT));
    }
    trouble.into_failure(&console.tail(), &process.last_words())
}

/// Boots a guest and waits for its shell.
pub fn boot(launch: &Launch<'_>, deadline: Deadline) -> Result<Session> {
    let mut started = start(launch, None, deadline)?;
    let ready = started.console.wait_for(&launch.image.ready, deadline);
    let attached = ready.and_then(|()| started.console.attach(deadline));
    attached.map_err(|trouble| started.explain(trouble))?;
    Ok(started.into_session(launch))
}

impl Session {
    /// The same guest, called what it is.
    #[must_use]
    pub fn that_is(self, about: About) -> Session {
        Session { about, ..self }
    }

    /// Empties the kernel log, so that a saved guest does not send that of its boot each time. What is suspicious in
    /// it goes back into it, for whoever judges it later: a boot that went wrong is not forgotten.
    pub fn begin_kernel_log(&mut self, deadline: Deadline) -> Result<()> {
        self.on_console(|console| console.begin_kernel_log(deadline))
    }

    /// The process id of QEMU.
    pub fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Ends QEMU, and the guest with it, in an orderly way; what it wrote goes with it.
    pub fn power_off(mut self, deadline: Deadline) -> Result<()> {
        self.qmp.execute("quit", json!({}), deadline)?;
        // A QEMU that does not end in time is killed when the session is dropped.
        let _ended = self.process.wait(deadline);
        Ok(())
    }

    fn on_console<T>(&mut self, work: impl FnOnce(&mut Console) -> std::result::Result<T, Trouble>) -> Result<T> {
        work(&mut self.console).map_err(|trouble| explain(&self.console, &self.process, trouble))
    }

    pub(crate) fn socket_path(&self, name: &str) -> Result<Utf8PathBuf> {
        in_folder(&self.folder, name)
    }

    pub(crate) fn ended(&self) -> Option<String> {
        self.process.ended().map(|_| self.process.last_words())
    }
}

impl Guest for Session {
    fn about(&self) -> &About {
        &self.about
    }

    fn run(&mut self, words: &[&str], deadline: Deadline) -> Result<Output> {
        self.on_console(|console| console.run(words, deadline))
    }

    fn script(&mut self, script: &str, deadline: Deadline) -> Result<Output> {
        self.on_console(|console| console.script(script, deadline))
    }

    fn put(&mut self, files: &[(&str, &[u8])], deadline: Deadline) -> Result<()> {
        self.on_console(|console| console.put(files, deadline))
    }

    /// The machine's reset line is pulled after all that was written is on the disk. A guest without a disk forgets
    /// all that was done to it.
    fn reboot(&mut self, deadline: Deadline) -> Result<()> {
        self.run(&["sync"], deadline)?;
        // QEMU is started so that a guest that reboots by itself ends it.
        self.qmp.execute("set-action", json!({ "reboot": "reset" }), deadline)?;
        self.qmp.execute("system_reset", json!({}), deadline)?;
        let ready = self.ready.clone();
        self.on_console(|console| {
            console.wait_for(&ready, deadline)?;
            console.attach(deadline)
        })?;
        self.qmp.execute("set-action", json!({ "reboot": "shutdown" }), deadline)?;
        Ok(())
    }

    fn tail(&self) -> String {
        self.console.tail()
    }

    fn power_off(self: Box<Self>, deadline: Deadline) -> Result<()> {
        Session::power_off(*self, deadline)
    }
}

#[cfg(test)]
mod tests {
    use model::Exit;

    use super::*;

    /// Boots with a program in place of QEMU.
    fn boot_with(binary: &str, cancel: &Cancel) -> Failure {
        let machine = Machine::parse("x86-64.yaml".into(), include_str!("../machines/x86-64.yaml")).unwrap();
        let qemu = Qemu { binary: binary.into(), version: "7.2".into() };
        let image = Image::in_memory("/no/vmlinux".into(), "/no/initramfs".into(), "ready");
        let accel = Accel::Tcg;
        let launch = Launch { qemu: &qemu, machine: &machine, image: &image, accel, links: None, saved: false, cancel };
        match boot(&launch, Deadline::after(Duration::from_millis(500))) {
            Ok(_) => panic!("{binary} is no QEMU"),
            Err(failure) => failure,
        }
    }

    #[test]
    fn a_qemu_that_ends_at_once_is_blocked_with_its_last_words() {
        let failure = boot_with("cat", &Cancel::default());
        assert_eq!((failure.id(), failure.exit()), ("VM051", Exit::Blocked));
        // cat complains about options it does not know, as QEMU does.
        assert!(failure.finding().why.contains("exit code 1") && failure.finding().why.contains("cat:"), "{failure}");
    }

    #[test]
    fn an_interrupt_ends_a_boot() {
        let cancel = Cancel::default();
        cancel.cancel();
        assert_eq!(boot_with("cat", &cancel).exit(), Exit::Interrupted);
    }
}
