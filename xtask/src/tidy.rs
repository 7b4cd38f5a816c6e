//! The architecture's rules, read off the files. Fast: nothing is built.
//!
//! | Module | Rules |
//! |---|---|
//! | [`rust`] | how a Rust file opens, how long it is, what it may mention, reasons for exceptions |
//! | [`crates`] | which crate may depend on which |
//! | [`tenancy`] | no query on an app's table without the app, no route without a guard |
//! | [`text`] | migrations' names, links in documents, marks of unfinished work |
//!
//! A rule is a function from the tree to findings, and a finding names the file, the line and the way out.
//! What a rule cannot judge is listed as an exception beside the rule, with the reason.

mod crates;
mod rust;
mod source;
mod tenancy;
mod text;
mod tree;

use crate::workspace::Workspace;
use std::fmt;
use tree::Tree;

const RULES: [fn(&Tree) -> Vec<Finding>; 4] = [rust::check, crates::check, tenancy::check, text::check];

pub fn run(workspace: &Workspace) -> Result<(), String> {
    let tree = Tree::read(workspace.root())?;
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() { Ok(()) } else { Err(format!("{} places break a rule", findings.len())) }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: path.into(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}
