//! One line of an access log, in the common or the combined format
//! (<https://httpd.apache.org/docs/2.4/logs.html#combined>), as real servers write it.
//!
//! ```text
//! host ident user [17/May/2015:10:05:03 +0000] "GET /path HTTP/1.1" 200 512 "referrer" "user agent"
//! ```
//!
//! A line needs a host, a time and a status. What else is odd is kept as it is: a request that is no request,
//! a quote that never closes, a `-` for what is not known, bytes that are no UTF-8.

use std::{borrow::Cow, net::IpAddr};

/// What a line says. Text is as it was logged, but for `\"` and `\\`.
#[derive(Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// An address, or a name if the server looked it up.
    pub host: &'a str,
    /// Milliseconds since the epoch.
    pub at: i64,
    pub request: Request<'a>,
    pub status: u16,
    pub bytes: Option<u64>,
    pub referrer: Option<Cow<'a, str>>,
    pub user_agent: Option<Cow<'a, str>>,
}

/// The request line, taken apart if it is one.
#[derive(Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// `GET /path HTTP/1.1`; HTTP/0.9 has no protocol.
    Http { method: String, path: String, protocol: Option<String> },
    /// What a scanner or a TLS handshake on the wrong port sent.
    Garbage(Cow<'a, str>),
    /// `-`: the connection was closed before there was one.
    Absent,
}

impl LogLine<'_> {
    /// The host as an address, `None` if it is a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.trim_matches(['[', ']']).parse().ok()
    }
}

/// Reads a line without its end. Error: why it is not one, for a person.
pub fn parse(line: &str) -> Result<LogLine<'_>, &'static str> {
    let (host, rest) = line.trim().split_once(' ').ok_or("there is no more than one word")?;
    // A user's name may hold spaces; the first bracket after it opens the time.
    let (_, rest) = rest.split_once('[').ok_or("there is no [time]")?;
    let (time, rest) = rest.split_once(']').ok_or("the [time] does not end")?;
    let at = parse_time(time).ok_or("the time is not like 17/May/2015:10:05:03 +0000")?;
    let (request, rest) = take_request(rest.trim_start()).ok_or("there is no status after the request")?;
    let (status, rest) = take_word(rest);
    let status = parse_status(status).ok_or("there is no status after the request")?;
    let (bytes, rest) = take_word(rest);
    let (referrer, rest) = take_field(rest);
    let (user_agent, _) = take_field(rest);
    Ok(LogLine {
        host,
        at,
        request: split_request(request),
        status,
        bytes: bytes.parse().ok(),
        referrer: referrer.filter(|text| is_known(text)),
        user_agent: user_agent.filter(|text| is_known(text)),
    })
}

/// `17/May/2015:10:05:03 +0000` as milliseconds since the epoch.
fn parse_time(text: &str) -> Option<i64> {
    let (day, rest) = text.split_once('/')?;
    let (month, rest) = rest.split_once('/')?;
    let (year, rest) = rest.split_once(':')?;
    let (clock, offset) = rest.split_once(' ')?;
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let month = 1 + MONTHS.iter().position(|name| month.eq_ignore_ascii_case(name))?;
    let (hours, minutes) = offset.split_at_checked(3)?;
    angarium_base::time::parse(&format!("{year}-{month:02}-{day:0>2}T{clock}{hours}:{minutes}"))
}

/// The request, quoted as it should be, and what follows it.
///
/// A client may put a quote into it that the server does not escape, so its end is the first quote that a
/// status follows.
fn take_request(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = take_word(text);
        return (word == "-").then_some((word.into(), rest));
    };
    let end = unescaped_quotes(quoted).find(|&end| {
        let (status, _) = take_word(&quoted[end + 1..]);
        parse_status(status).is_some()
    })?;
    Some((unescape(&quoted[..end]), &quoted[end + 1..]))
}

/// The next quoted field, or the next word; a quote that never closes closes with the line.
fn take_field(text: &str) -> (Option<Cow<'_, str>>, &str) {
    let text = text.trim_start();
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = take_word(text);
        return (Some(word.into()), rest);
    };
    let ends_field = |&end: &usize| quoted[end + 1..].is_empty() || quoted[end + 1..].starts_with(' ');
    match unescaped_quotes(quoted).find(ends_field) {
        Some(end) => (Some(unescape(&quoted[..end])), &quoted[end + 1..]),
        None => (Some(unescape(quoted)), ""),
    }
}

fn take_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(' ').unwrap_or((text, ""))
}

fn parse_status(text: &str) -> Option<u16> {
    (text.len() == 3).then(|| text.parse().ok()).flatten().filter(|status| (100..=999).contains(status))
}

fn unescaped_quotes(text: &str) -> impl Iterator<Item = usize> {
    let mut escaped = false;
    text.bytes().enumerate().filter_map(move |(at, byte)| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends.then_some(at)
    })
}

/// Resolves `\"` and `\\`. Other escapes stay: they stand for bytes that no text can hold.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let escaped = (char == '\\').then(|| chars.next_if(|next| matches!(next, '"' | '\\'))).flatten();
        out.push(escaped.unwrap_or(char));
    }
    out.into()
}

fn split_request(request: Cow<'_, str>) -> Request<'_> {
    if matches!(request.trim(), "-" | "") {
        return Request::Absent;
    }
    let parts = request.trim().split_once(' ').filter(|(method, _)| is_method(method));
    let Some((method, rest)) = parts else { return Request::Garbage(request) };
    let (path, protocol) = match rest.trim().rsplit_once(' ') {
        Some((path, protocol)) if protocol.starts_with("HTTP/") => (path.trim_end(), Some(protocol)),
        _ => (rest.trim(), None),
    };
    Request::Http { method: method.to_owned(), path: path.to_owned(), protocol: protocol.map(str::to_owned) }
}

/// Methods in use are short words of capitals (RFC 9110 §9.1); RFC 3253 has one with a hyphen.
fn is_method(word: &str) -> bool {
    (1..=24).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

fn is_known(field: &str) -> bool {
    !matches!(field, "" | "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "1.2.3.4 - - [17/May/2015:10:05:03 +0000]";

    fn http(method: &str, path: &str, protocol: Option<&str>) -> Request<'static> {
        Request::Http { method: method.into(), path: path.into(), protocol: protocol.map(Into::into) }
    }

    #[test]
    fn a_combined_line_is_read_whole() {
        let text = format!(r#"{PREFIX} "GET /a?b=c HTTP/1.1" 200 512 "http://from/" "Agent/1.0 (x; y)""#);
        let line = parse(&text).unwrap();
        assert_eq!(
            line,
            LogLine {
                host: "1.2.3.4",
                at: 1_431_857_103_000,
                request: http("GET", "/a?b=c", Some("HTTP/1.1")),
                status: 200,
                bytes: Some(512),
                referrer: Some("http://from/".into()),
                user_agent: Some("Agent/1.0 (x; y)".into()),
            }
        );
    }

    #[test]
    fn requests_are_taken_as_they_come() {
        for (quoted, expected) in [
            (r#""GET / HTTP/1.0""#, http("GET", "/", Some("HTTP/1.0"))),
            (r#""GET /old""#, http("GET", "/old", None)),
            (r#""GET /a b.html HTTP/1.1""#, http("GET", "/a b.html", Some("HTTP/1.1"))),
            (r#""GET /\"q\" HTTP/1.1""#, http("GET", "/\"q\"", Some("HTTP/1.1"))),
            (r#""GET /"bare" quote HTTP/1.1""#, http("GET", "/\"bare\" quote", Some("HTTP/1.1"))),
            (r#""GET /\\" 404 x HTTP/1.1""#, http("GET", "/\\", None)),
            (r#""VERSION-CONTROL /x HTTP/1.1""#, http("VERSION-CONTROL", "/x", Some("HTTP/1.1"))),
            (r#""\x16\x03\x01 \x02""#, Request::Garbage(r"\x16\x03\x01 \x02".into())),
            (r#""quit""#, Request::Garbage("quit".into())),
            (r#""-""#, Request::Absent),
            (r#""""#, Request::Absent),
            ("-", Request::Absent),
        ] {
            let text = format!("{PREFIX} {quoted} 400 0");
            assert_eq!(parse(&text).unwrap().request, expected, "{quoted}");
        }
    }

    #[test]
    fn the_end_of_a_line_may_be_odd() {
        let agent = |text: &str| {
            let text = format!("{PREFIX} \"GET / HTTP/1.1\" {text}");
            let line = parse(&text).unwrap();
            (line.bytes, line.referrer.map(Cow::into_owned), line.user_agent.map(Cow::into_owned))
        };
        let some = |text: &str| Some(text.to_owned());
        for (text, expected) in [
            ("200 -", (None, None, None)),
            ("200", (None, None, None)),
            ("304 0 \"-\" \"-\"", (Some(0), None, None)),
            (
                "200 5 \"-\" \"no closing (+http://b/bot.html",
                (Some(5), None, some("no closing (+http://b/bot.html")),
            ),
            ("200 5 \"-\" \"a \\\"b\\\" c\"", (Some(5), None, some("a \"b\" c"))),
            ("200 5 \"say \"hi\"\" \"x\"", (Some(5), some("say \"hi\""), some("x"))),
            ("200 5 \"-\" \"x\" \"10.0.0.1\" 0.003", (Some(5), None, some("x"))),
            ("200 5 - -", (Some(5), None, None)),
            ("200 5 \"http://\\xe4/\" \"x\\\\\"", (Some(5), some("http://\\xe4/"), some("x\\"))),
        ] {
            assert_eq!(agent(text), expected, "{text}");
        }
    }

    #[test]
    fn times_keep_their_offset() {
        for (text, at) in [
            ("17/May/2015:10:05:03 +0000", Some(1_431_857_103_000)),
            ("17/May/2015:12:05:03 +0200", Some(1_431_857_103_000)),
            ("17/may/2015:04:35:03 -0530", Some(1_431_857_103_000)),
            ("7/Mai/2015:12:05:03 +0200", None),
            ("31/Feb/2015:12:05:03 +0200", None),
            ("17/May/2015:10:05:03", None),
            ("17/May/2015:10:05:03 +", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text), at, "{text}");
        }
    }

    #[test]
    fn hosts_are_addresses_or_names() {
        let ip = |host: &str| {
            let text = format!("{host} - john doe [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1");
            parse(&text).unwrap().ip().map(|ip| ip.to_string())
        };
        assert_eq!(ip("10.0.0.1").as_deref(), Some("10.0.0.1"));
        assert_eq!(ip("2001:db8::1").as_deref(), Some("2001:db8::1"));
        assert_eq!(ip("[::1]").as_deref(), Some("::1"));
        assert_eq!(ip("crawler.example.org"), None);
    }

    #[test]
    fn what_is_no_log_line_says_why() {
        for (text, why) in [
            ("word", "there is no more than one word"),
            ("1.2.3.4 - - no time", "there is no [time]"),
            ("1.2.3.4 - - [17/May/2015:10:05", "the [time] does not end"),
            ("1.2.3.4 - - [today] \"GET /\" 200 1", "the time is not like 17/May/2015:10:05:03 +0000"),
            (
                "1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1",
                "there is no status after the request",
            ),
            (
                "1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET /\" ok 1",
                "there is no status after the request",
            ),
            ("1.2.3.4 - - [17/May/2015:10:05:03 +0000]", "there is no status after the request"),
        ] {
            assert_eq!(parse(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let line = format!(r#"{PREFIX} "GET /ä\" HTTP/1.1" 200 5 "ü\\" "ö""#);
        for cut in (0..=line.len()).filter(|&cut| line.is_char_boundary(cut)) {
            let _ = parse(&line[..cut]);
            let _ = parse(&line[cut..]);
        }
    }
}
