//! A server, a watcher and an importer, each a process with its own output, as three people would run them.
//!
//! `PM_TEST_LONG=1` kills the server 20 times in the middle of an import.
#![cfg(unix)]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use fastrand::Rng;
use pm_server::{domain::Kind, plan};
use support::server::{Server, until};

/// From the repository, as the README says it.
const ROADMAP: &str = "examples/plans/roadmap.md";

/// A plan of another project, beside the repository on the machines that have it.
const PLATFORM: &str = "../shared/data/platform-plan.md";

/// The epics of a generated plan, the stories of each, and the tasks of each of those.
const SHAPE: [usize; 3] = [10, 10, 2];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A command that runs, and what it has written so far. Killed when dropped.
struct Terminal {
    process: Child,
    out: Output,
    errors: Output,
}

/// How a command ended.
struct Ended {
    code: Option<i32>,
    out: String,
    errors: String,
}

impl Terminal {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_pm-server"))
            .args(arguments)
            .current_dir(repository())
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = Output::of(process.stdout.take().unwrap());
        let errors = Output::of(process.stderr.take().unwrap());
        Self {
            process,
            out,
            errors,
        }
    }

    fn on(server: &Server, command: &str, arguments: &[&str]) -> Self {
        let folder = text(server.folder.path());
        Self::start(&[&[command, "--data", folder], arguments].concat())
    }

    /// Waits for words on standard output.
    async fn says(&self, words: &str) {
        until(words, || self.out.text().contains(words).then_some(())).await;
    }

    fn interrupt(&self) {
        let kill = format!("kill -INT {}", self.process.id());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success());
    }

    async fn end(mut self) -> Ended {
        let status = until("the command ends", || self.process.try_wait().unwrap()).await;
        Ended {
            code: status.code(),
            out: self.out.all(),
            errors: self.errors.all(),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Ended {
    /// The last line of a command that did what it should.
    fn last_line(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.errors);
        assert_eq!(self.errors, "");
        self.out.lines().last().unwrap()
    }
}

/// What comes out of a pipe, taken out of it all the time, so that nobody has to wait to write.
struct Output {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let into = text.clone();
        let reader = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = String::new();
            while pipe.read_line(&mut line).unwrap() > 0 {
                into.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// To the end of the pipe.
    fn all(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.text()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The lines of a watcher that are events.
fn events(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with(' ')).collect()
}

async fn import(server: &Server, file: &str) -> String {
    let ended = Terminal::on(server, "import", &[file]).end().await;
    ended.last_line().to_owned()
}

#[tokio::test]
async fn what_one_terminal_imports_another_one_shows() {
    let server = Server::start().await;
    let watcher = Terminal::on(&server, "watch", &[]);
    watcher.says("demo: 0 projects, 0 items, at rev 0\n").await;

    let counts = "imported: 8 epics, 19 stories, 30 tasks, 1 skipped, ";
    assert_eq!(import(&server, ROADMAP).await, format!("{counts}57 new"));
    assert_eq!(import(&server, ROADMAP).await, format!("{counts}0 new"));

    let all = || (events(&watcher.out.text()).len() >= 58).then_some(());
    until("58 events", all).await;
    watcher.interrupt();
    let watched = watcher.end().await;
    assert_eq!(
        watched.last_line(),
        "watched: 58 events, revs 1–58, none missed, none twice"
    );

    let plan = plan::read(&fs::read(repository().join(ROADMAP)).unwrap(), ROADMAP).unwrap();
    let shown = events(&watched.out);
    assert!(shown[0].ends_with("  project  created   \"Roadmap\""));
    assert_eq!(shown.len(), plan.items.len() + 1);
    for (line, item) in shown[1..].iter().zip(&plan.items) {
        let noun = match item.kind {
            Kind::Epic => "epic",
            Kind::Story => "story",
            Kind::Task => "task",
        };
        let end = format!("  {noun:<7}  created   \"{}\"", item.title);
        assert!(line.ends_with(&end), "{line} does not end in {end}");
    }
}

#[tokio::test]
async fn the_last_line_counts_what_is_in_the_file() {
    let server = Server::start().await;
    let small = server.folder.path().join("small.md");
    fs::write(
        &small,
        "# Small\n\n- a bullet outside\n\n## One\n- [ ] a\n  - [x] b\n  - [ ] c\n- [x] d\n\
         ## Two\n- [ ] e\n  - [ ]* f\n",
    )
    .unwrap();
    let counts = "imported: 2 epics, 3 stories, 3 tasks, 1 skipped, ";
    let file = text(&small);
    assert_eq!(import(&server, file).await, format!("{counts}8 new"));
    assert_eq!(import(&server, file).await, format!("{counts}0 new"));

    if repository().join(PLATFORM).exists() {
        let counts = "imported: 4 epics, 19 stories, 115 tasks, 0 skipped, ";
        assert_eq!(import(&server, PLATFORM).await, format!("{counts}138 new"));
        assert_eq!(import(&server, PLATFORM).await, format!("{counts}0 new"));
    } else {
        println!("{PLATFORM} is not on this machine: counted a small plan only");
    }
}

/// What a command that fails says: one line on standard error with these words, and nothing else.
async fn complains(arguments: &[&str], words: &[&str]) {
    let ended = Terminal::start(arguments).end().await;
    let Ended { code, out, errors } = ended;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{errors}");
    assert!(errors.starts_with("pm-server: "), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    for words in words {
        assert!(errors.contains(words), "{words:?} is not in {errors}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_in_one_line() {
    let mut server = Server::start().await;
    let folder = server.folder.path().to_owned();
    let data = text(&folder);
    let other = Server::start().await;
    let foreign = other.token("demo");

    for command in [&["watch"][..], &["import", ROADMAP]] {
        let complains = async |arguments: &[&str], words: &[&str]| {
            complains(&[command, arguments].concat(), words).await;
        };
        complains(
            &["--data", data, "--token", "nonsense"],
            &["does not accept the token", "malformed", "pm-server token"],
        )
        .await;
        complains(
            &["--data", data, "--token", foreign.expose()],
            &["does not accept the token", "another key"],
        )
        .await;
        complains(
            &["--data", data, "--tenant", "nobody"],
            &["does not know the tenant \"nobody\"", "--tenant"],
        )
        .await;
        complains(
            &["--data", data, "--url", "ws://pm.example:7171/ws"],
            &["pm.example is not this machine", "--token"],
        )
        .await;
        complains(
            &["--data", data, "--url", "http://127.0.0.1:7171"],
            &["is not the address of a server", "ws://"],
        )
        .await;
        let empty = tempfile::tempdir().unwrap();
        complains(
            &["--data", text(empty.path())],
            &[
                "there is no signing key",
                "start pm-server with this data folder first",
                "--token",
            ],
        )
        .await;
    }

    let plans = tempfile::tempdir().unwrap();
    for (name, content, words) in [
        (
            "binary.md",
            Some(b"\x89PNG\r\n\x1a\n\0\0".as_slice()),
            "not a Markdown file",
        ),
        ("empty.md", Some(b"".as_slice()), "the plan is empty"),
        ("missing.md", None, "cannot read"),
    ] {
        let path = plans.path().join(name);
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        complains(&["import", "--data", data, text(&path)], &[words, name]).await;
    }

    server.kill();
    let url = server.url();
    for command in [&["watch"][..], &["import", ROADMAP]] {
        let words = ["no server answers at", &url, "cargo run -p pm-server"];
        complains(&[command, &["--data", data]].concat(), &words).await;
    }
}

/// As long as it takes to be interrupted: the items, and the plan.
fn generated(round: usize) -> (usize, String) {
    let [epics, stories, tasks] = SHAPE;
    let mut plan = format!("# Round {round}\n");
    for epic in 0..epics {
        plan += &format!("## Epic {epic}\n");
        for story in 0..stories {
            plan += &format!("- [ ] story {epic}.{story}\n");
            for task in 0..tasks {
                plan += &format!("  - [x] task {epic}.{story}.{task}\n");
            }
        }
    }
    (epics * (1 + stories * (1 + tasks)), plan)
}

#[tokio::test]
// A test has no flags.
#[allow(clippy::disallowed_methods)]
async fn an_import_outlives_the_server() {
    let wanted = if std::env::var("PM_TEST_LONG").is_ok() {
        20
    } else {
        3
    };
    let mut rng = Rng::with_seed(fastrand::u64(..));
    println!("seed {}", rng.get_seed());
    let mut server = Server::start().await;
    let watcher = Terminal::on(&server, "watch", &[]);
    watcher.says("demo: 0 projects, 0 items, at rev 0\n").await;
    let plans = tempfile::tempdir().unwrap();

    let (mut rounds, mut interrupted, mut all) = (0, 0, 0);
    while interrupted < wanted {
        rounds += 1;
        assert!(rounds <= 10 * wanted, "killed in the middle {interrupted}x");
        let (items, plan) = generated(rounds);
        let path = plans.path().join(format!("round-{rounds}.md"));
        fs::write(&path, plan).unwrap();
        let importer = Terminal::on(&server, "import", &[text(&path)]);
        let enough = all + rng.usize(1..items);
        until("some of the import", || {
            (events(&watcher.out.text()).len() >= enough).then_some(())
        })
        .await;
        server.kill();
        server.check_integrity("demo").await;
        server.restart();

        // It may have been done before the server was killed; then it does not count.
        let ended = importer.end().await;
        interrupted += usize::from(ended.out.contains("connection lost ("));
        let [epics, stories, tasks] = SHAPE;
        let (stories, tasks) = (epics * stories, epics * stories * tasks);
        let counts =
            format!("imported: {epics} epics, {stories} stories, {tasks} tasks, 0 skipped");
        assert_eq!(ended.last_line(), format!("{counts}, {items} new"));
        // Unless the import waited for it, it may not be up yet.
        drop(server.connect().await);
        let again = import(&server, text(&path)).await;
        assert_eq!(again, format!("{counts}, 0 new"));
        // The items and the project.
        all += items + 1;
        until("all of the import", || {
            (events(&watcher.out.text()).len() >= all).then_some(())
        })
        .await;
    }
    watcher.interrupt();
    let watched = watcher.end().await;
    assert_eq!(
        watched.last_line(),
        format!("watched: {all} events, revs 1–{all}, none missed, none twice")
    );
    println!("{rounds} rounds, {interrupted} in the middle, {all} events");
}
