//! A PostgreSQL server of a test's own, which may be killed: the others share theirs.

use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::tools;

/// The server; it ends with this.
pub struct Postgres {
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
}

impl Postgres {
    /// Starts one that syncs what it commits; none where its programs are not installed.
    pub async fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            tools::untested("FIRSTLOOK_REQUIRE_POSTGRES", "PostgreSQL's server programs are not installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let server = Self { folder, programs, port: tools::port() };
        server.owns(server.folder.path());
        let mut make = server.program("initdb");
        make.args(["--auth", "trust", "--username", "firstlook", "--no-sync"]);
        succeeds(make.args(["--encoding", "UTF8", "--pgdata"]).arg(server.data()));
        server.up();
        Some(server)
    }

    /// Starts it, after a kill too: it recovers what it had written down.
    pub fn up(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=on -c max_connections=60",
            self.port
        );
        let mut start = self.program("pg_ctl");
        start.arg("--pgdata").arg(self.data()).arg("--log").arg(self.folder.path().join("log"));
        succeeds(start.args(["--wait", "--silent", "--options", &options, "start"]));
    }

    /// Ends it and all its processes between one instruction and the next.
    pub fn kill_9(&self) {
        let first = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let first = first.lines().next().unwrap().to_owned();
        let children = Command::new("pgrep").args(["-P", &first]).output().unwrap().stdout;
        let children = String::from_utf8(children).unwrap();
        let all = std::iter::once(first.as_str()).chain(children.split_whitespace());
        assert!(Command::new("kill").arg("-9").args(all).status().unwrap().success());
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A database of this name, with whatever belongs behind its name in `CREATE DATABASE`; what belongs under `store:`.
    pub async fn database(&self, name: &str, more: &str) -> String {
        self.run(&format!("CREATE DATABASE {name} {more}")).await;
        self.address(name)
    }

    /// Runs a statement as the one who may do everything.
    pub async fn run(&self, statement: &str) {
        let mut admin = PgConnection::connect(&self.address("postgres")).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut admin).await.unwrap();
        admin.close().await.unwrap();
    }

    /// Gives a folder to the account the server runs under.
    pub fn owns(&self, folder: &Path) {
        succeeds(Command::new("chmod").arg("755").arg(folder));
        if is_root() {
            succeeds(Command::new("chown").arg("postgres").arg(folder));
        }
    }

    fn address(&self, database: &str) -> String {
        format!("postgres://firstlook@127.0.0.1:{}/{database}", self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// One of its programs; the server refuses to run as root.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program).current_dir("/");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = self.program("pg_ctl");
        let _ = stop.arg("--pgdata").arg(self.data()).args(["--mode", "immediate", "--silent", "stop"]).status();
    }
}

/// The newest version's programs, where Debian puts them.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap().stdout;
    id.starts_with(b"0\n")
}

fn succeeds(command: &mut Command) {
    // A server keeps the pipes of whoever starts it open.
    let status = command.stdout(std::process::Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
