//! The files from which a test machine boots, packed for the kernel.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const GUEST: &str = env!("CARGO_BIN_EXE_httptime-test-guest");
const HTTPTIME: &str = env!("CARGO_BIN_EXE_httptime");
const DIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dist");
/// The place where `.ci/test-files` puts the kernel.
pub(crate) const KERNEL: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/../machine");
/// In the order in which they are loaded.
const MODULES: [&str; 9] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_console",
];
/// The directory of systemd, on the host and in the machine.
const SYSTEMD: &str = "/lib/systemd";

/// A directory that becomes the root of a machine.
struct Root {
    place: PathBuf,
}

/// Busybox, the kernel's modules, and our programs with their libraries.
pub(crate) fn with_busybox(directory: &Path) -> PathBuf {
    let root = Root::new(directory, &["proc", "sys", "dev", "tmp"]);
    root.shell();
    root.program(HTTPTIME, "bin/httptime");
    root.program(GUEST, "bin/httptime-test-guest");
    root.init("httptime-test-guest agent\npoweroff -f\n");
    root.pack(directory)
}

/// The same under this host's systemd, with our units and the files that are installed with them.
/// The agent is a service. With the environment variable `HTTPTIME_DEB` the program and the units
/// are those of that Debian package.
pub(crate) fn with_systemd(directory: &Path) -> PathBuf {
    let empty = [
        "proc",
        "sys",
        "dev",
        "tmp",
        "run",
        "root",
        "home",
        "etc",
        "usr/bin",
        "usr/sbin",
        "usr/lib",
        "usr/lib64",
        "var/lib",
        "var/log",
        "var/tmp",
    ];
    let root = Root::new(directory, &empty);
    for merged in ["bin", "sbin", "lib", "lib64"] {
        root.link(&format!("usr/{merged}"), merged);
    }
    root.link("../run", "var/run");
    root.shell();
    let package = env::var_os("HTTPTIME_DEB").map(|package| unpacked(&package, directory));
    match &package {
        Some(package) => root.program_at(&package.join("usr/bin/httptime"), "usr/bin/httptime"),
        None => root.program(HTTPTIME, "usr/bin/httptime"),
    }
    root.program(GUEST, "usr/bin/httptime-test-guest");
    assert!(Path::new(SYSTEMD).join("systemd").exists(), "systemd must be installed");
    for program in ["/lib/systemd/systemd", "/lib/systemd/systemd-journald"] {
        root.program(program, program.trim_start_matches('/'));
    }
    for program in ["/usr/bin/systemctl", "/usr/bin/journalctl"] {
        root.program(program, program.trim_start_matches('/'));
    }
    // For timedatectl: the bus, and the service that it asks.
    for program in
        ["/usr/bin/dbus-daemon", "/usr/bin/timedatectl", "/lib/systemd/systemd-timedated"]
    {
        root.program(program, program.trim_start_matches('/'));
    }
    for file in ["system.conf", "system.d/org.freedesktop.timedate1.conf"] {
        let file = format!("/usr/share/dbus-1/{file}");
        root.copy(Path::new(&file), file.trim_start_matches('/'));
    }
    // Version 254 and later start services with this program.
    let executor = format!("{SYSTEMD}/systemd-executor");
    if Path::new(&executor).exists() {
        root.program(&executor, executor.trim_start_matches('/'));
    }
    let units = fs::read_dir(format!("{SYSTEMD}/system")).expect("systemd's units");
    for unit in units.map(|unit| unit.expect("an entry").path()) {
        let name = unit.file_name().and_then(|name| name.to_str()).expect("a name");
        let order = [".target", ".slice"].iter().any(|kind| name.ends_with(kind));
        if order || name.starts_with("systemd-journald") {
            root.copy(&unit, &format!("usr/lib/systemd/system/{name}"));
        }
    }
    let units = package.map_or_else(
        || Path::new(DIST).join("systemd"),
        |package| package.join("usr/lib/systemd/system"),
    );
    for unit in fs::read_dir(units).expect("units").map(|unit| unit.expect("an entry")) {
        let name = unit.file_name().into_string().expect("text");
        root.copy(&unit.path(), &format!("usr/lib/systemd/system/{name}"));
    }
    root.write(
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\nmessagebus:x:100:100::/:/bin/false\n\
         nobody:x:65534:65534::/:/bin/false\n",
    );
    root.write("etc/group", "root:x:0:\nmessagebus:x:100:\nnogroup:x:65534:\n");
    root.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n");
    root.write("etc/os-release", "ID=test\nPRETTY_NAME=test\n");
    root.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    root.write("etc/default/httptime", "HTTPTIME_SYNC=\"http://10.0.2.100/\"\n");
    root.write("etc/httptime/httptime.toml", "servers = ['http://10.0.2.100/']\n");
    root.write(
        "etc/systemd/system/agent.service",
        "[Unit]\n\
         SuccessAction=poweroff-immediate\n\
         FailureAction=poweroff-immediate\n\
         [Service]\n\
         Environment=PATH=/bin\n\
         ExecStart=/bin/httptime-test-guest agent\n",
    );
    for (target, wanted) in [
        ("default", "/etc/systemd/system/agent.service"),
        ("sockets", "/lib/systemd/system/systemd-journald.socket"),
        ("sockets", "/lib/systemd/system/systemd-journald-dev-log.socket"),
        ("sysinit", "/lib/systemd/system/systemd-journald.service"),
    ] {
        let name = Path::new(wanted).file_name().and_then(|name| name.to_str()).expect("a name");
        root.link(wanted, &format!("etc/systemd/system/{target}.target.wants/{name}"));
    }
    root.link("/lib/systemd/system/multi-user.target", "etc/systemd/system/default.target");
    root.init("exec /lib/systemd/systemd\n");
    root.pack(directory)
}

impl Root {
    fn new(directory: &Path, empty: &[&str]) -> Self {
        let place = directory.join("root");
        for empty in empty {
            fs::create_dir_all(place.join(empty)).expect("a directory");
        }
        Self { place }
    }

    fn shell(&self) {
        self.copy(Path::new("/bin/busybox"), "bin/busybox");
        self.link("busybox", "bin/sh");
        for module in MODULES {
            let file = Path::new(KERNEL).join("modules").join(format!("{module}.ko"));
            assert!(file.exists(), "{} is missing: .ci/test-files fetches it", file.display());
            self.copy(&file, &format!("modules/{module}.ko"));
        }
    }

    fn copy(&self, from: &Path, to: &str) {
        fs::copy(from, self.at(to))
            .unwrap_or_else(|error| panic!("{} is needed: {error}", from.display()));
    }

    /// Copies a program and its libraries.
    fn program(&self, from: &str, to: &str) {
        self.program_at(Path::new(from), to);
    }

    fn program_at(&self, from: &Path, to: &str) {
        self.copy(from, to);
        for library in libraries(from) {
            self.copy(&library, library.to_str().expect("text").trim_start_matches('/'));
        }
    }

    fn write(&self, to: &str, text: &str) {
        fs::write(self.at(to), text).expect("a file");
    }

    fn link(&self, target: &str, at: &str) {
        symlink(target, self.at(at)).expect("a link");
    }

    /// The first program, which ends with `then`.
    fn init(&self, then: &str) {
        let init = format!(
            "#!/bin/sh\n\
             export PATH=/bin\n\
             /bin/busybox --install -s /bin\n\
             mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev\n\
             for module in {}; do insmod /modules/$module.ko; done\n\
             ip link set lo up\n\
             ip address add 10.0.2.15/24 dev eth0; ip link set eth0 up; ip route add default via 10.0.2.2\n\
             {then}",
            MODULES.join(" ")
        );
        self.write("init", &init);
    }

    fn at(&self, to: &str) -> PathBuf {
        let to = self.place.join(to);
        fs::create_dir_all(to.parent().expect("a place")).expect("a directory");
        to
    }

    fn pack(&self, directory: &Path) -> PathBuf {
        let archive = directory.join("initrd");
        let packed = Command::new("/bin/sh")
            .args(["-c", "chmod 755 init && find . | cpio --quiet -o -H newc >../initrd"])
            .current_dir(&self.place)
            .status()
            .expect("a shell");
        assert!(packed.success(), "cpio must be installed");
        archive
    }
}

/// The files of a Debian package. Not unpacked into the root of the machine, where it would replace
/// the link `lib` by a directory.
fn unpacked(package: &OsStr, directory: &Path) -> PathBuf {
    let to = directory.join("package");
    let done = Command::new("dpkg-deb").arg("-x").arg(package).arg(&to).status();
    assert!(done.is_ok_and(|status| status.success()), "{package:?}");
    to
}

/// The shared libraries that a program loads, including its loader.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let listed = Command::new("ldd").arg(program).output().expect("ldd runs");
    assert!(listed.status.success(), "{listed:?}");
    String::from_utf8_lossy(&listed.stdout)
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}
