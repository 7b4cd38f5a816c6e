//! Consumer lines, read as a consumer of the old tracker reads them.

/// `type SP meta SP params`, taken apart.
#[derive(Debug)]
pub struct Line {
    pub event_type: String,
    pub meta: Vec<(String, String)>,
    pub params: Vec<(String, String)>,
}

/// The members of `meta`, in their order.
const META: [&str; 11] =
    ["type", "browser", "engine", "version", "os", "host", "ts", "ip", "klag", "country", "city"];

impl Line {
    pub fn meta(&self, name: &str) -> &str {
        value(&self.meta, name)
    }

    pub fn param(&self, name: &str) -> &str {
        value(&self.params, name)
    }
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> &'a str {
    pairs.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
}

/// All lines of a text.
///
/// # Panics
/// When one is not as the format says.
pub fn lines(text: &str) -> Vec<Line> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is not whole");
    text.split_terminator('\n').map(line).collect()
}

fn line(text: &str) -> Line {
    assert!(text.is_ascii() && !text.contains(|c: char| c.is_control()), "not percent-encoded: {text:?}");
    let fields: Vec<&str> = text.split(' ').collect();
    let [event_type, meta, params] = fields[..] else { panic!("not three fields: {text:?}") };
    let meta = pairs(meta);
    let names: Vec<&str> = meta.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, META, "{text:?}");
    let line = Line { event_type: decoded(event_type), meta, params: pairs(params) };
    assert!(line.meta("ts").parse::<u64>().is_ok_and(|ts| ts > 1_500_000_000_000), "{text:?}");
    assert!(line.meta("klag").parse::<u64>().is_ok(), "{text:?}");
    assert!(matches!(line.meta("ip").len(), 12 | 32), "{text:?}");
    line
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend(before.bytes());
        let digits = after.get(..2).unwrap_or_else(|| panic!("half an escape: {text:?}"));
        bytes.push(u8::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("no escape: {text:?}")));
        rest = &after[2..];
    }
    bytes.extend(rest.bytes());
    String::from_utf8(bytes).unwrap_or_else(|_| panic!("not UTF-8: {text:?}"))
}
