//! What a `User-Agent` header says of the client.
//!
//! Browser, operating system and robots are recognised by uap-core's rules (`data/README.md`), kind and
//! engine by the short rules below. The same few agents come again and again, so parsed ones are kept:
//!
//! ```text
//! header ──cut to 1 KiB──▶ hash ──▶ shard (one lock) ──hit──▶ Arc<Agent>
//!                                      └─miss─▶ parse, no lock held ─▶ shard
//! ```
//!
//! Invariants: nobody waits for another's parsing; an entry of the cache has at most about 1.3 KiB.

use super::recent::Shard;
use parking_lot::Mutex;
use std::{
    borrow::Cow,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};
use ua_parser::{device, os, user_agent};

/// The bytes of a header that are looked at. Real agents have 50 to 300.
const HEADER_MAX_BYTES: usize = 1024;
/// The bytes that are kept of a name or a version found in a header.
const FIELD_MAX_BYTES: usize = 64;
const SHARDS: usize = 8;

/// What is known of a client. Whatever is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// `Desktop`, `Mobile`, `Tablet`, `TV`, `Console`, `Bot` or `Other`.
    pub kind: &'static str,
    /// The family in uap-core's spelling: `Firefox`, `Chrome Mobile`, `Googlebot`.
    pub browser: Box<str>,
    /// `Blink`, `WebKit`, `Gecko`, `Trident`, `EdgeHTML` or `Presto`.
    pub engine: &'static str,
    /// The browser's `major.minor`.
    pub version: Box<str>,
    /// The family in uap-core's spelling, but for `Mac OS X`, which is `Mac`.
    pub os: Box<str>,
}

/// The parser and its cache.
pub struct Agents {
    rules: Rules,
    unknown: Arc<Agent>,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

impl Agents {
    /// Remembers about `capacity` agents (at least one a shard). Compiles the rules, which takes some 50 ms.
    pub fn new(capacity: usize) -> Agents {
        let share = capacity.div_ceil(SHARDS).max(1);
        Agents {
            rules: Rules::builtin(),
            unknown: Arc::default(),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::new(Shard::new(share))),
        }
    }

    /// What `header` says; only its first KiB is read.
    pub fn parse(&self, header: &str) -> Arc<Agent> {
        let header = clip(header.trim(), HEADER_MAX_BYTES);
        if header.is_empty() {
            return self.unknown.clone();
        }
        let hash = self.hasher.hash_one(header);
        let shard = &self.shards[hash as usize % SHARDS];
        if let Some(agent) = shard.lock().get(hash, header) {
            return agent;
        }
        let agent = Arc::new(self.rules.read(header));
        shard.lock().put(hash, header, agent.clone());
        agent
    }
}

/// uap-core's rules, compiled.
struct Rules {
    browsers: user_agent::Extractor<'static>,
    systems: os::Extractor<'static>,
    bots: device::Extractor<'static>,
}

impl Rules {
    /// The rules that the program carries.
    fn builtin() -> Rules {
        // A broken rule is a broken build: the tests below compile every one of them.
        Rules::compile(include_str!("../../data/user-agents.tsv"))
            .expect("the rules that come with the program")
    }

    fn compile(table: &'static str) -> Result<Rules, ua_parser::Error> {
        let mut browsers = user_agent::Builder::new();
        let mut systems = os::Builder::new();
        let mut bots = device::Builder::new();
        for line in table.lines() {
            let mut fields = line.split('\t');
            let rule = fields.next();
            let regex = Cow::Borrowed(fields.next().unwrap_or_default());
            let mut next = || fields.next().filter(|field| !field.is_empty()).map(Cow::Borrowed);
            match rule {
                Some("browser") => {
                    let (family_replacement, v1_replacement, v2_replacement) = (next(), next(), next());
                    browsers = browsers.push(user_agent::Parser {
                        regex,
                        family_replacement,
                        v1_replacement,
                        v2_replacement,
                        ..Default::default()
                    })?;
                }
                Some("os") => {
                    systems =
                        systems.push(os::Parser { regex, os_replacement: next(), ..Default::default() })?;
                }
                _ => {
                    bots = bots.push(device::Parser {
                        regex,
                        regex_flag: next().map(|_| device::Flag::IgnoreCase),
                        device_replacement: Some("Spider".into()),
                        ..Default::default()
                    })?;
                }
            }
        }
        Ok(Rules { browsers: browsers.build()?, systems: systems.build()?, bots: bots.build()? })
    }

    fn read(&self, header: &str) -> Agent {
        let browser = self.browsers.extract(header).unwrap_or_default();
        let system = self.systems.extract(header).unwrap_or_default();
        let (family, os) = (name(&browser.family), name(&system.os));
        let kind = match self.bots.extract(header) {
            Some(_) => "Bot",
            None => kind(header, family, os),
        };
        Agent {
            kind,
            browser: family.into(),
            engine: engine(header),
            version: version(browser.major, browser.minor),
            os: os.into(),
        }
    }
}

/// A family as we write it. The old tracker said `Mac`; uap-core has rules that end in `Other`, for unknown.
fn name(family: &str) -> &str {
    match family {
        "Mac OS X" => "Mac",
        "Other" => "",
        family => clip(family, FIELD_MAX_BYTES),
    }
}

fn version(major: Option<&str>, minor: Option<&str>) -> Box<str> {
    match (major, minor) {
        (Some(major), Some(minor)) => clip(&format!("{major}.{minor}"), FIELD_MAX_BYTES).into(),
        (Some(major), None) => clip(major, FIELD_MAX_BYTES).into(),
        (None, _) => Box::default(),
    }
}

const TV: &[&str] = &[
    "SmartTV",
    "SMART-TV",
    "Smart-TV",
    "Smart TV",
    "HbbTV",
    "GoogleTV",
    "Google TV",
    "Android TV",
    "AppleTV",
    "Apple TV",
    "tvOS",
    "CrKey",
    "Roku",
    "NetCast",
    "Web0S",
    "BRAVIA",
    "; AFT",
];
const CONSOLE: &[&str] = &["PlayStation", "PLAYSTATION", "Xbox", "Nintendo"];
const TABLET: &[&str] = &["iPad", "PlayBook", "Kindle", "Tablet;", "Tablet)", "Tablet Build", "Silk/"];
const MOBILE: &[&str] = &[
    "Mobi",
    "iPhone",
    "iPod",
    "Opera Mini",
    "Android",
    "BlackBerry",
    "Windows CE",
    "Windows Phone",
    "Symbian",
    "Series60",
    "MIDP",
    "webOS/",
];
const DESKTOP: &[&str] = &[
    "Windows",
    "Mac",
    "Mac OS",
    "Linux",
    "Chrome OS",
    "Ubuntu",
    "Kubuntu",
    "Lubuntu",
    "Debian",
    "Linux Mint",
    "Fedora",
    "Red Hat",
    "CentOS",
    "SUSE",
    "openSUSE",
    "Mageia",
    "Mandriva",
    "Arch Linux",
    "Gentoo",
    "Slackware",
    "Puppy",
    "PCLinuxOS",
    "BackTrack",
    "FreeBSD",
    "OpenBSD",
    "NetBSD",
    "BSD",
    "Solaris",
    "SerenityOS",
];

/// The kind of device of a header that is not a robot's.
///
/// A browser on Android says `Mobile` on a telephone and leaves it out on a tablet
/// (<https://developer.mozilla.org/docs/Web/HTTP/Browser_detection_using_the_user_agent>).
fn kind(header: &str, browser: &str, os: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| header.contains(word));
    let android_tablet =
        header.contains("Android") && header.starts_with("Mozilla/") && !says(&["Mobi", "Opera Mini"]);
    if says(TV) {
        "TV"
    } else if says(CONSOLE) {
        "Console"
    } else if says(TABLET) || android_tablet {
        "Tablet"
    } else if says(MOBILE) || os == "iOS" {
        "Mobile"
    } else if DESKTOP.contains(&os) {
        "Desktop"
    } else if !browser.is_empty() || !os.is_empty() {
        "Other"
    } else {
        ""
    }
}

/// The rendering engine, by the marks that MDN lists for each (same page as above). The order matters:
/// engines name their predecessors too. Chrome turned from WebKit to Blink with version 28
/// (<https://www.chromium.org/blink/>), and on iOS it has no `Chrome/` because it is WebKit there.
fn engine(header: &str) -> &'static str {
    let says = |mark: &str| header.contains(mark);
    if says("Presto/") || header.starts_with("Opera/") {
        "Presto"
    } else if says("Trident/") || says("MSIE ") {
        "Trident"
    } else if says("Edge/") {
        "EdgeHTML"
    } else if says("AppleWebKit/") {
        if chrome_major(header).is_some_and(|major| major >= 28) { "Blink" } else { "WebKit" }
    } else if says("Gecko/") {
        "Gecko"
    } else {
        ""
    }
}

fn chrome_major(header: &str) -> Option<u32> {
    let (_, after) = header.split_once("Chrome/").or_else(|| header.split_once("Chromium/"))?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The longest start of `text` of at most `max_bytes` that does not cut a character.
fn clip(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    static AGENTS: LazyLock<Agents> = LazyLock::new(|| Agents::new(64));

    fn read(header: &str) -> [String; 5] {
        let agent = AGENTS.parse(header);
        [agent.kind, &agent.browser, agent.engine, &agent.version, &agent.os].map(str::to_owned)
    }

    #[test]
    fn every_rule_that_comes_with_the_program_compiles() {
        let table = include_str!("../../data/user-agents.tsv");
        assert!(Rules::compile(table).is_ok());
        let known = ["browser", "os", "bot"];
        assert!(
            table.lines().all(|line| line.split_once('\t').is_some_and(|(rule, _)| known.contains(&rule)))
        );
    }

    #[test]
    fn agents_are_what_they_say() {
        let cases = [
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.13; rv:56.0) Gecko/20100101 Firefox/56.0",
                ["Desktop", "Firefox", "Gecko", "56.0", "Mac"],
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0.1700.77 Safari/537.36",
                ["Desktop", "Chrome", "Blink", "32.0", "Mac"],
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 12_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/73.0.3683.68 Mobile/15E148 Safari/605.1",
                ["Mobile", "Chrome Mobile iOS", "WebKit", "73.0", "iOS"],
            ),
            (
                "Mozilla/5.0 (Linux; Android 7.0; SM-T580) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/60.0.3112.116 Safari/537.36",
                ["Tablet", "Chrome", "Blink", "60.0", "Android"],
            ),
            (
                "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; Tablet PC 2.0; rv:11.0) like Gecko",
                ["Desktop", "IE", "Trident", "11.0", "Windows"],
            ),
            (
                "Opera/9.80 (Windows NT 6.1) Presto/2.12.388 Version/12.16",
                ["Desktop", "Opera", "Presto", "12.16", "Windows"],
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/64.0.3282.140 Safari/537.36 Edge/17.17134",
                ["Desktop", "Edge", "EdgeHTML", "17.17134", "Windows"],
            ),
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                ["Bot", "Googlebot", "", "2.1", ""],
            ),
            (
                "Mozilla/5.0 (PlayStation 4 5.01) AppleWebKit/601.2 (KHTML, like Gecko)",
                ["Console", "", "WebKit", "", ""],
            ),
            ("curl/7.68.0", ["Other", "curl", "", "7.68", ""]),
            ("no such thing", [""; 5]),
            ("", [""; 5]),
        ];
        for (header, expected) in cases {
            assert_eq!(read(header), expected.map(str::to_owned), "{header}");
        }
    }

    #[test]
    fn a_long_header_is_cut_between_characters_and_its_fields_are_short() {
        let long = format!("Mozilla/5.0 {}", "é".repeat(4_000));
        assert!(clip(&long, HEADER_MAX_BYTES).len() <= HEADER_MAX_BYTES);
        AGENTS.parse(&long);
        let digits = AGENTS.parse(&format!("Firefox/{}.{}", "1".repeat(300), "2".repeat(300)));
        assert!(digits.version.len() <= FIELD_MAX_BYTES);
    }

    #[test]
    fn a_known_agent_is_not_parsed_again() {
        let (first, second) = (AGENTS.parse("curl/8.0.1"), AGENTS.parse("curl/8.0.1"));
        assert!(Arc::ptr_eq(&first, &second));
    }
}
