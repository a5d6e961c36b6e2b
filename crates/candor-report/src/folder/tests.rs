use super::*;

const MODEL: &str = "a";

fn terms() -> Terms {
    Terms { command: "candor explain".into(), ..Terms::default() }
}

fn open(path: &Path) -> Folder {
    Folder::open(path, terms()).unwrap()
}

/// Publishes a result whose files contain their own names and `text`.
fn publish(path: &Path, name: &str, model: &str, files: &[&str], text: &str) -> Result<(), ReportError> {
    let draft = open(path).draft(name)?;
    for file in files {
        let at = draft.files().join(file);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, format!("{file} {text}")).unwrap();
    }
    draft.publish(model)
}

/// The files that a user sees.
fn seen(path: &Path) -> Vec<String> {
    list(path).unwrap().into_iter().filter(|f| !f.starts_with(STATE)).collect()
}

#[test]
fn a_result_takes_the_place_of_an_earlier_one_and_of_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    publish(&out, "explain", MODEL, &["explain.json", "dog/1.png", "dog/2.png", "cat/1.png"], "old").unwrap();
    publish(&out, "check", MODEL, &["check.json"], "").unwrap();
    fs::write(out.join("notes.txt"), "mine").unwrap();
    fs::write(out.join("dog/mine.png"), "mine").unwrap();
    fs::write(out.join("cat/1.png"), "painted over").unwrap();
    publish(&out, "explain", MODEL, &["explain.json", "dog/2.png", "dog/3.png"], "new").unwrap();
    let left =
        ["cat/1.png", "check.json", "dog/2.png", "dog/3.png", "dog/mine.png", "explain.json", "notes.txt"];
    assert_eq!(seen(&out), left);
    assert_eq!(fs::read_to_string(out.join("dog/2.png")).unwrap(), "dog/2.png new");
    publish(&out, "explain", MODEL, &["explain.json"], "").unwrap();
    assert_eq!(seen(&out), ["cat/1.png", "check.json", "dog/mine.png", "explain.json", "notes.txt"]);
}

#[test]
fn results_of_one_model_stay_together_and_give_way_to_those_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path();
    publish(out, "bench-wsol", "a", &["wsol.json"], "").unwrap();
    publish(out, "bench-dwsol", "a", &["dwsol.json"], "").unwrap();
    publish(out, "check", "a", &["check.json"], "").unwrap();
    assert_eq!(seen(out), ["check.json", "dwsol.json", "wsol.json"]);
    publish(out, "bench-wsol", "b", &["wsol.json"], "").unwrap();
    assert_eq!(seen(out), ["check.json", "wsol.json"]);
}

#[test]
fn what_candor_did_not_write_stays_unless_by_force() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path();
    fs::write(out.join("check.json"), "mine").unwrap();
    let error = publish(out, "check", MODEL, &["check.csv", "check.json"], "").unwrap_err();
    assert!(matches!(&error, ReportError::Foreign { path } if path.ends_with("check.json")), "{error}");
    assert!(error.is_usage());
    assert_eq!(seen(out), ["check.json"], "nothing is half there");
    assert_eq!(fs::read_to_string(out.join("check.json")).unwrap(), "mine");
    let force = |inputs| Folder::open(out, Terms { force: true, inputs, ..terms() }).unwrap();
    assert!(force(Inputs::default()).check(&["check.json"]).is_ok());
    let input = force(Inputs::of([out.join("./check.json")])).check(&["check.json"]);
    assert!(matches!(input, Err(ReportError::IsInput { .. })));
    // A file in the way of a folder.
    assert!(open(out).check(&["check.json/below.png"]).is_err());
    // A file of Candor's is the user's once it is changed.
    publish(out, "bench", MODEL, &["wsol.json"], "").unwrap();
    assert!(open(out).check(&["wsol.json"]).is_ok());
    fs::write(out.join("wsol.json"), "corrected").unwrap();
    assert!(open(out).check(&["wsol.json"]).is_err());
}

#[test]
fn a_folder_kept_from_run_to_run_is_known_by_its_journal() {
    let dir = tempfile::tempdir().unwrap();
    let kept = |known| open(dir.path()).check_kept("adversarial", known).is_ok();
    assert!(kept(false), "not there");
    fs::create_dir(dir.path().join("adversarial")).unwrap();
    assert!(kept(false), "empty");
    fs::write(dir.path().join("adversarial/1.png"), "").unwrap();
    assert_eq!([kept(false), kept(true)], [false, true]);
}

#[test]
fn a_file_of_the_earlier_result_that_the_run_reads_stays() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path();
    publish(out, "explain", MODEL, &["explain.json", "dog/map.png", "dog/2.png"], "old").unwrap();
    let inputs = Inputs::of([out.join("dog/map.png")]);
    let draft = Folder::open(out, Terms { inputs, ..terms() }).unwrap().draft("explain").unwrap();
    fs::write(draft.files().join("explain.json"), "new").unwrap();
    draft.publish(MODEL).unwrap();
    assert_eq!(seen(out), ["dog/map.png", "explain.json"]);
    // From then on it is the user's: the next result neither removes nor replaces it.
    assert!(open(out).check(&["dog/map.png"]).is_err());
    publish(out, "explain", MODEL, &["explain.json"], "newer").unwrap();
    assert_eq!(seen(out), ["dog/map.png", "explain.json"]);
}

#[test]
fn a_list_that_names_files_elsewhere_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let absolute = dir.path().join("victim.txt").display().to_string();
    fs::write(&absolute, "mine").unwrap();
    let hash = sha256(Path::new(&absolute)).unwrap();
    for path in ["../victim.txt", "below/../../victim.txt", absolute.as_str(), ""] {
        fs::create_dir_all(out.join(STATE)).unwrap();
        let files = serde_json::json!([{ "path": path, "sha256": hash }]);
        let list = serde_json::json!({ "results": [{ "name": "explain", "model": MODEL, "files": files }] });
        fs::write(out.join(STATE).join("files.json"), list.to_string()).unwrap();
        let error = Folder::open(&out, terms()).unwrap_err().to_string();
        assert!(error.contains("files.json") && error.contains("not below this folder"), "{error}");
    }
    assert_eq!(fs::read_to_string(&absolute).unwrap(), "mine");
}

#[cfg(unix)]
#[test]
fn links_among_candors_own_folders_are_refused() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("foreign");
    fs::create_dir_all(foreign.join("explain/files")).unwrap();
    fs::write(foreign.join("explain/files/mine.txt"), "mine").unwrap();
    for (i, link) in ["", "explain", "explain/files", "explain/work"].into_iter().enumerate() {
        let out = dir.path().join(format!("out{i}"));
        let at: PathBuf = [out.clone(), STATE.into()]
            .into_iter()
            .chain(link.split('/').filter(|p| !p.is_empty()).map(PathBuf::from))
            .collect();
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(foreign.join(link.strip_suffix("work").map_or(link, |_| "explain/files")), &at).unwrap();
        let opened = Folder::open(&out, terms()).and_then(|folder| folder.resume("explain"));
        let error = opened.unwrap_err();
        assert!(matches!(&error, ReportError::Linked { .. }) && error.is_usage(), "{link}: {error}");
        if let Ok(draft) = Folder::open(&out, terms()).and_then(|folder| folder.draft("explain")) {
            draft.publish(MODEL).unwrap();
        }
        assert!(foreign.join("explain/files/mine.txt").exists(), "{link}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_does_not_stop_a_run_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = |path: &Path| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A socket, since a program that makes a pipe would hold the locks of the other tests while it starts.
        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    };
    for name in ["lock", "files.json"] {
        let out = dir.path().join(name);
        pipe(&out.join(STATE).join(name));
        assert!(Folder::open(&out, terms()).unwrap_err().to_string().contains("no regular file"));
    }
    let out = dir.path().join("out");
    publish(&out, "explain", MODEL, &["report.html"], "").unwrap();
    fs::remove_file(out.join("report.html")).unwrap();
    pipe(&out.join("report.html"));
    let error = publish(&out, "explain", MODEL, &["report.html"], "").unwrap_err();
    assert!(matches!(error, ReportError::NoFile { .. }), "{error}");
    let holder = out.join(STATE).join("holder.json");
    pipe(&holder);
    assert_eq!(open(&out).taken_over(), None);
}

#[test]
fn one_at_a_time_and_the_other_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let error = Folder::open(dir.path(), terms()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("in use by `candor explain` (process "), "{text}");
    assert!(text.contains(&std::process::id().to_string()) && !error.is_usage(), "{text}");
    drop(first);
    assert_eq!(open(dir.path()).taken_over(), None);
}

#[test]
fn the_lock_of_a_dead_process_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let dead = Holder { pid: 7, host: "elsewhere".into(), command: "candor bench wsol".into(), since: 0 };
    fs::create_dir(dir.path().join(STATE)).unwrap();
    fs::write(dir.path().join(STATE).join("holder.json"), serde_json::to_vec(&dead).unwrap()).unwrap();
    fs::write(dir.path().join(STATE).join("lock"), "").unwrap();
    assert_eq!(open(dir.path()).taken_over(), Some(&dead));
    assert_eq!(open(dir.path()).taken_over(), None, "it gave it back");
}

#[test]
fn a_run_without_a_result_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    drop(open(&out));
    assert!(!out.exists());
    let draft = open(&out).draft("explain").unwrap();
    fs::write(draft.files().join("a.png"), "").unwrap();
    drop(draft);
    assert!(!out.exists());
    fs::create_dir(&out).unwrap();
    drop(open(&out));
    assert_eq!(list(&out).unwrap(), Vec::<String>::new());
    assert!(out.exists(), "it was there before");
}

#[test]
fn what_is_worth_going_on_with_stays_until_it_is_dropped_or_published() {
    let dir = tempfile::tempdir().unwrap();
    let mut draft = open(dir.path()).draft("explain").unwrap();
    fs::write(draft.files().join("a.png"), "").unwrap();
    draft.keep();
    drop(draft);
    assert_eq!(seen(dir.path()), Vec::<String>::new());
    let draft = open(dir.path()).resume("explain").unwrap();
    assert!(draft.files().join("a.png").exists());
    draft.publish(MODEL).unwrap();
    assert_eq!(seen(dir.path()), ["a.png"]);
    let mut draft = open(dir.path()).draft("explain").unwrap();
    fs::write(draft.files().join("b.png"), "").unwrap();
    draft.keep();
    drop(draft);
    assert!(!open(dir.path()).draft("explain").unwrap().files().join("b.png").exists());
}
