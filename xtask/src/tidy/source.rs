//! A Rust file taken apart into code, strings and comments: as much of the grammar as that needs, no more.
//!
//! Every part is a text of the same length, where what belongs to another part is blank. So an offset in one
//! is an offset in all, and gives the line.

/// A Rust file and its parts.
pub struct Source<'a> {
    pub path: &'a str,
    pub text: &'a str,
    /// Everything but comments and the insides of literals.
    pub code: String,
    /// The insides of literals.
    pub strings: String,
    /// Code and comments: everything a reader takes as said.
    pub said: String,
}

impl<'a> Source<'a> {
    pub fn new(path: &'a str, text: &'a str) -> Source<'a> {
        let parts = parts_of(text.as_bytes());
        let only = |wanted: &[Part]| {
            let keep = |(byte, part): (u8, &Part)| match byte {
                b'\n' => b'\n',
                _ if wanted.contains(part) => byte,
                _ => b' ',
            };
            let bytes = text.bytes().zip(&parts).map(keep).collect::<Vec<u8>>();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (code, strings) = (only(&[Part::Code]), only(&[Part::Literal]));
        Source { path, text, code, strings, said: only(&[Part::Code, Part::Comment]) }
    }

    pub fn line(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// Whether the whole file is there for tests and benches only, as far as its path tells.
    pub fn is_test_file(&self) -> bool {
        let in_folder = |name: &str| self.path.split('/').rev().skip(1).any(|folder| folder == name);
        let file = self.path.rsplit('/').next().unwrap_or_default();
        ["tests", "benches", "suite"].into_iter().any(in_folder)
            || ["tests.rs", "contract.rs"].contains(&file)
    }

    /// The strings that are not inside of an item marked `#[cfg(test)]`.
    pub fn strings_outside_of_tests(&self) -> String {
        let mut strings = self.strings.clone().into_bytes();
        for (start, _) in self.code.match_indices("#[cfg(test)]") {
            let end = end_of_item(&self.code, start);
            for byte in &mut strings[start..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        String::from_utf8_lossy(&strings).into_owned()
    }

    /// Every attribute, as the offset of its `#` and the code between its brackets.
    pub fn attributes(&self) -> impl Iterator<Item = (usize, &str)> {
        let openings = self.code.match_indices('#');
        openings.filter_map(|(at, _)| {
            let rest = self.code[at + 1..].strip_prefix('!').unwrap_or(&self.code[at + 1..]);
            let body = rest.strip_prefix('[')?;
            Some((at, &body[..balanced(body, '[', ']').unwrap_or(body.len())]))
        })
    }
}

/// Offsets at which `word` stands alone, not inside of a longer name.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let in_name = |c: char| c == '_' || c.is_alphanumeric();
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(in_name) && !after.is_some_and(in_name)
    })
}

/// The length of `text` up to the bracket that closes one opened just before it.
pub fn balanced(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        depth += i32::from(c == open) - i32::from(c == close);
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Where the item that begins at `start`, with its attributes, ends: at its block's `}` or at its `;`.
fn end_of_item(code: &str, start: usize) -> usize {
    let rest = &code[start..];
    match rest.find(['{', ';']) {
        Some(at) if rest[at..].starts_with('{') => {
            let body = start + at + 1;
            balanced(&code[body..], '{', '}').map_or(code.len(), |length| body + length)
        }
        Some(at) => start + at,
        None => code.len(),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Code,
    Literal,
    Comment,
}

fn parts_of(bytes: &[u8]) -> Vec<Part> {
    let mut parts = Vec::with_capacity(bytes.len());
    while parts.len() < bytes.len() {
        let at = parts.len();
        let token = token(bytes, at);
        let end = at + token.length;
        parts.resize(at + token.quotes, Part::Code);
        parts.resize(end.saturating_sub(token.quotes).max(parts.len()), token.part);
        parts.resize(end, Part::Code);
    }
    parts.truncate(bytes.len());
    parts
}

struct Token {
    part: Part,
    length: usize,
    /// How much at either end counts as code: of a literal, so that `reason = "…"` can be seen to have one.
    quotes: usize,
}

fn token(bytes: &[u8], at: usize) -> Token {
    let rest = &bytes[at..];
    let comment = |length| Token { part: Part::Comment, length, quotes: 0 };
    let literal = |length, quotes| Token { part: Part::Literal, length, quotes };
    let code = Token { part: Part::Code, length: 1, quotes: 0 };
    if let Some(hashes) = raw_string(bytes, at) {
        let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
        let inside = &rest[close.len()..];
        let length = inside.windows(close.len()).position(|window| window == close).unwrap_or(inside.len());
        return literal(length + 2 * close.len(), close.len());
    }
    match rest {
        [b'/', b'/', ..] => comment(rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())),
        [b'/', b'*', ..] => comment(block_comment(rest)),
        [b'"', ..] => literal(quoted(rest, b'"'), 1),
        [b'\'', b'\\', ..] => literal(quoted(rest, b'\''), 1),
        [b'\'', ..] => char_literal(rest).map_or(code, |length| literal(length, 1)),
        _ => code,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let step = match &rest[at..] {
            [b'/', b'*', ..] => 1,
            [b'*', b'/', ..] => -1,
            _ => 0,
        };
        depth += step;
        at += if step == 0 { 1 } else { 2 };
        if depth == 0 {
            break;
        }
    }
    at.min(rest.len())
}

/// The number of hashes, when a raw string (`r"`, `r#"`, also after `b` or `c`) opens here, after its letters.
fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let before = |back: usize| at.checked_sub(back).map_or(b' ', |index| bytes[index]);
    let in_name = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    let is_prefix = !in_name(before(2)) || (b"bc".contains(&before(2)) && !in_name(before(3)));
    if before(1) != b'r' || !is_prefix {
        return None;
    }
    let hashes = bytes[at..].iter().take_while(|byte| **byte == b'#').count();
    (bytes.get(at + hashes) == Some(&b'"')).then_some(hashes)
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of `'x'`; `None` for a lifetime.
fn char_literal(rest: &[u8]) -> Option<usize> {
    let width = match rest.get(1)? {
        0..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(part: &str) -> String {
        part.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn code_strings_and_comments_are_told_apart() {
        let text = r##"let a = "one // two"; // three "four"
let b = r#"five "six" "#; /* seven /* eight */ "nine" */ let c = b"ten\"";
let d = '"'; let e = '\''; let f: &'static str = "eleven"; let g = 'é'; let r#type = 1;"##;
        let source = Source::new("a.rs", text);
        assert_eq!(shown(&source.strings), r#"one // two five "six" ten\" " \' eleven é"#);
        assert_eq!(
            shown(&source.code),
            r##"let a = " "; let b = r#" "#; let c = b" "; let d = ' '; let e = ' '; let f: &'static str = " "; let g = ' '; let r#type = 1;"##
        );
        assert!(source.said.contains("three") && source.said.contains("nine"));
    }

    #[test]
    fn parts_keep_lengths_and_lines() {
        let text = "//! é\n\nfn a() {\n    \"é\n\";\n}\n";
        let source = Source::new("a.rs", text);
        for part in [&source.code, &source.strings, &source.said] {
            assert_eq!(part.len(), text.len());
        }
        assert_eq!(source.line(source.code.find("fn").unwrap()), 3);
    }

    #[test]
    fn what_is_unfinished_to_the_end_of_the_file_is_still_taken_apart() {
        for text in ["\"open", "r#\"open", "/* open", "'", "'\\", "r", "// end", "\"\\"] {
            assert_eq!(Source::new("a.rs", text).code.len(), text.len(), "{text}");
        }
    }

    #[test]
    fn strings_of_test_items_can_be_left_out() {
        let text = "const A: &str = \"kept\";\n#[cfg(test)]\nmod tests {\n fn a() { \"gone\" }\n}\nconst B: &str = \"kept too\";";
        let source = Source::new("a.rs", text);
        assert_eq!(shown(&source.strings_outside_of_tests()), "kept kept too");
    }

    #[test]
    fn attributes_are_found_with_their_whole_body() {
        let source = Source::new("a.rs", "#![a(b[0])]\n#[c = \"]\"]\nlet d = r#e;\n// #[no]");
        let bodies: Vec<_> = source.attributes().map(|(_, body)| body).collect();
        assert_eq!(bodies, ["a(b[0])", "c = \" \""]);
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(words("http https xhttp http::a _http", "http").collect::<Vec<_>>(), [0, 17]);
    }

    #[test]
    fn test_files_are_known_by_their_path() {
        let is_test = |path| Source::new(path, "").is_test_file();
        assert!(is_test("crates/db/tests/it/main.rs") && is_test("crates/db/src/contract.rs"));
        assert!(is_test("crates/suite/src/world.rs") && is_test("crates/db/src/sqlite/tests.rs"));
        assert!(!is_test("crates/db/src/lib.rs"));
    }
}
