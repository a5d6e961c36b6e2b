//! A web server for one folder, reachable from this machine only.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use tiny_http::{Method, Request, Server};

use crate::interrupt;
use crate::output;

/// Isolates the page from other origins, which threads require; nothing may be loaded from other origins.
const HEADERS: [(&str, &str); 4] = [
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Cache-Control", "no-cache"),
    ("X-Content-Type-Options", "nosniff"),
];

/// Serves `folder` until the program is stopped.
pub fn serve(folder: &Path, port: u16) -> Result<ExitCode> {
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| anyhow::anyhow!("{e}");
    let server = Server::http(("127.0.0.1", port))
        .map_err(failed)
        .with_context(|| format!("cannot listen on port {port}; name another with --serve PORT"))?;
    let address = server.server_addr();
    output::print(&format!("http://{address}/ (Ctrl-C ends it)\n"))?;
    interrupt::at(format!("{} is written and whole", folder.display()));
    for request in server.incoming_requests() {
        let found = match request.method() {
            Method::Get | Method::Head => file(folder, request.url()),
            _ => None,
        };
        // An error means that the browser closed the connection.
        drop(answer(request, found));
    }
    Ok(ExitCode::SUCCESS)
}

/// Answers with a file, or that there is none, and asks for the connection to be closed: an open connection occupies a thread of the
/// server, whose other connections may then wait for ever (a browser opens six at once).
fn answer(request: Request, path: Option<PathBuf>) -> io::Result<()> {
    let found = path.and_then(|path| Some((kind(&path), File::open(path).ok()?)));
    const NONE: &[u8] = b"not found";
    let (status, kind, length, mut body): (_, _, _, Box<dyn Read>) = match found {
        Some((kind, file)) => ("200 OK", kind, file.metadata()?.len(), Box::new(file)),
        None => ("404 Not Found", "text/plain", NONE.len() as u64, Box::new(NONE)),
    };
    let whole = *request.method() != Method::Head;
    let mut to = request.into_writer();
    write!(
        to,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n"
    )?;
    for (name, value) in HEADERS {
        write!(to, "{name}: {value}\r\n")?;
    }
    to.write_all(b"\r\n")?;
    if whole {
        io::copy(&mut body, &mut to)?;
    }
    to.flush()
}

/// The file that a URL's path refers to, if it is inside the folder.
fn file(folder: &Path, url: &str) -> Option<PathBuf> {
    let path = url.split(['?', '#']).next()?.trim_start_matches('/');
    let path = Path::new(if path.is_empty() { "index.html" } else { path });
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    Some(folder.join(path)).filter(|file| inside && file.is_file())
}

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|e| e.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("wasm") => "application/wasm",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::file;

    #[test]
    fn only_files_of_the_folder_are_served() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("page");
        std::fs::create_dir_all(root.join("graphs")).expect("folders");
        for name in ["index.html", "graphs/a.onnx", "../secret"] {
            std::fs::write(root.join(name), "x").expect("writes");
        }
        assert_eq!(file(&root, "/"), Some(root.join("index.html")));
        assert_eq!(file(&root, "/graphs/a.onnx?x=1"), Some(root.join("graphs/a.onnx")));
        for url in ["/../secret", "/graphs/../../secret", "//etc/passwd", "/graphs", "/nothing"] {
            assert_eq!(file(&root, url), None, "{url}");
        }
    }
}
