//! The files of the repository: every path, and the content of those that are text we write.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Kinds of files whose content is read.
const TEXT: [&str; 10] = ["rs", "toml", "md", "html", "sql", "css", "js", "ts", "svelte", "py"];

/// Folders of things that are made, not written.
const MADE: [&str; 5] = ["target", "node_modules", "__pycache__", "venv", "dist"];

/// Folders beginning with a dot that are ours; the others belong to tools.
const OURS: [&str; 3] = [".ci", ".cargo", ".github"];

/// Paths are relative to the root, with `/` on every system. Content is empty for what is not text.
pub struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    pub fn read(root: &Path) -> Result<Tree, String> {
        let mut files = BTreeMap::new();
        read_folder(root, "", &mut files)?;
        Ok(Tree { files })
    }

    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Tree {
        Tree { files: files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect() }
    }

    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub fn with_extension(&self, extension: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(move |(path, _)| extension_of(path) == extension)
    }

    /// Whether there is a file of this path, or a folder with files in it.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self.files.range(folder.clone()..).next().is_some_and(|(first, _)| first.starts_with(&folder))
    }
}

pub fn extension_of(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn read_folder(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("{} cannot be read: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().map_err(cannot)?;
        if kind.is_dir() && is_written(&path, &name) {
            read_folder(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() {
            let is_text = TEXT.contains(&extension_of(&name));
            let text = if is_text { fs::read(entry.path()).map_err(cannot)? } else { Vec::new() };
            let text = String::from_utf8(text).map_err(|_| format!("{path} is not UTF-8"))?;
            files.insert(path, text.replace("\r\n", "\n"));
        }
    }
    Ok(())
}

fn is_written(path: &str, name: &str) -> bool {
    let is_a_tools = name.starts_with('.') && !OURS.contains(&name);
    let is_local_data = path == "data";
    !is_a_tools && !is_local_data && !MADE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_there_and_others_are_not() {
        let tree = Tree::of(&[("docs/adr/0001.md", ""), ("docs-old.md", "")]);
        assert!(tree.has("docs/adr/0001.md") && tree.has("docs/adr") && tree.has("docs/"));
        assert!(!tree.has("docs/adr/0002.md") && !tree.has("doc") && !tree.has("docs/ad"));
    }

    #[test]
    fn folders_of_made_things_are_left_out() {
        assert!(
            is_written("crates/db", "db") && is_written(".ci", ".ci") && is_written("tests/data", "data")
        );
        assert!(
            !is_written("target", "target") && !is_written(".git", ".git") && !is_written("data", "data")
        );
    }
}
