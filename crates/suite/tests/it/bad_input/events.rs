//! Events that are refused, each with its reason and its place: on its own, in an array, in NDJSON, and
//! where one bad event is to keep all out.

/// An event that is not acceptable, or text that is no event at all.
pub struct BadEvent {
    pub name: &'static str,
    pub text: Vec<u8>,
    pub code: &'static str,
    /// The fault's pointer, where `*` at the end stands for anything; of what is not JSON, a piece of the detail.
    pub place: &'static str,
}

fn bad(name: &'static str, text: impl Into<Vec<u8>>, code: &'static str, place: &'static str) -> BadEvent {
    BadEvent { name, text: text.into(), code, place }
}

/// An event whose parameter `p` is `value`.
fn with_param(value: &str) -> String {
    format!(r#"{{"type":"bad","params":{{"p":{value}}}}}"#)
}

/// An event with one more member.
fn with(member: &str) -> String {
    format!(r#"{{"type":"bad",{member}}}"#)
}

/// Events that are JSON and refused: their neighbours are kept.
pub fn refused() -> Vec<BadEvent> {
    [wrong_types(), wrong_texts(), too_much(), what_json_allows()].into_iter().flatten().collect()
}

fn wrong_types() -> Vec<BadEvent> {
    vec![
        bad("a number for an event", "7", "wrong_type", ""),
        bad("a string for an event", r#""bad""#, "wrong_type", ""),
        bad("null for an event", "null", "wrong_type", ""),
        bad("true for an event", "true", "wrong_type", ""),
        bad("an event without a type", r#"{"params":{"a":1}}"#, "missing", "/type"),
        bad("an empty object", "{}", "missing", "/type"),
        bad("a type that is a number", r#"{"type":7}"#, "wrong_type", "/type"),
        bad("a type that is null", r#"{"type":null}"#, "wrong_type", "/type"),
        bad("a type that is an object", r#"{"type":{"a":1}}"#, "wrong_type", "/type"),
        bad("params that are an array", with(r#""params":[1]"#), "wrong_type", "/params"),
        bad("params that are a string", with(r#""params":"a=1""#), "wrong_type", "/params"),
        bad("params that are a number", with(r#""params":0"#), "wrong_type", "/params"),
        bad("an instant that is a number", with(r#""at":1700000000000"#), "wrong_type", "/at"),
        bad("an id that is a number", with(r#""id":7"#), "wrong_type", "/id"),
        bad("an id that is true", with(r#""id":true"#), "wrong_type", "/id"),
        bad("a device id that is an object", with(r#""device_id":{}"#), "wrong_type", "/device_id"),
        bad("an address that is a number", with(r#""ip":7"#), "wrong_type", "/ip"),
        bad("an agent that is an array", with(r#""user_agent":[]"#), "wrong_type", "/user_agent"),
    ]
}

fn wrong_texts() -> Vec<BadEvent> {
    let of_type = |text: &str| format!(r#"{{"type":"{text}"}}"#);
    vec![
        bad("an empty type", of_type(""), "invalid_type", "/type"),
        bad("a type of 256 characters", of_type(&"é".repeat(256)), "invalid_type", "/type"),
        bad("a type with a space", of_type("a b"), "invalid_type", "/type"),
        bad("a type with a no-break space", of_type("a\u{a0}b"), "invalid_type", "/type"),
        bad("a type with a line separator", of_type("a\u{2028}b"), "invalid_type", "/type"),
        bad("a type with an escaped newline", of_type(r"a\nb"), "invalid_type", "/type"),
        bad("a type with a control character", of_type(r"a\u001bb"), "invalid_type", "/type"),
        bad("a type with DEL", of_type("a\u{7f}b"), "invalid_type", "/type"),
        bad("a type with a C1 control character", of_type("a\u{9b}b"), "invalid_type", "/type"),
        bad("a type with NUL", of_type(r"a\u0000b"), "nul_character", "/type"),
        bad("an instant in words", with(r#""at":"yesterday""#), "invalid_instant", "/at"),
        bad("an instant without an offset", with(r#""at":"2026-01-31T12:00:00""#), "invalid_instant", "/at"),
        bad(
            "an instant that no calendar has",
            with(r#""at":"2026-02-30T12:00:00Z""#),
            "invalid_instant",
            "/at",
        ),
        bad(
            "an instant in the year 10,000",
            with(r#""at":"+010000-01-01T00:00:00Z""#),
            "invalid_instant",
            "/at",
        ),
        bad(
            "an instant before the year 0",
            with(r#""at":"-000044-03-15T12:00:00Z""#),
            "invalid_instant",
            "/at",
        ),
        bad("an empty id", with(r#""id":"""#), "invalid_length", "/id"),
        bad(
            "an id of 256 characters",
            with(&format!(r#""id":"{}""#, "x".repeat(256))),
            "invalid_length",
            "/id",
        ),
        bad("an empty device id", with(r#""device_id":"""#), "invalid_length", "/device_id"),
        bad("an address that is a name", with(r#""ip":"localhost""#), "invalid_ip", "/ip"),
        bad("an address with a port", with(r#""ip":"10.0.0.1:80""#), "invalid_ip", "/ip"),
        bad(
            "an agent too long",
            with(&format!(r#""user_agent":"{}""#, "x".repeat(2_049))),
            "too_long",
            "/user_agent",
        ),
        bad("a misspelt member", with(r#""parms":{}"#), "unknown_member", "/parms"),
        bad("a member that needs an escape in a pointer", with(r#""a/b~c":1"#), "unknown_member", "/a~1b~0c"),
        bad("a member without a name", with(r#""":1"#), "unknown_member", "/"),
    ]
}

fn too_much() -> Vec<BadEvent> {
    let nested = |levels: usize| with_param(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
    let objects = r#"{"a":"#.repeat(40) + "1" + &"}".repeat(40);
    let members: Vec<String> = (0..100_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let members = members.join(",");
    vec![
        bad("33 levels", nested(32), "too_deep", "/params/p/0*"),
        bad("41 levels of objects", with_param(&objects), "too_deep", "/params/p/a*"),
        bad("a million levels", nested(1_000_000), "too_deep", "/params/p/0*"),
        bad("100,000 parameters", with(&format!("\"params\":{{{members}}}")), "too_many_members", "/params"),
        bad(
            "100,000 members in a parameter",
            with_param(&format!("{{{members}}}")),
            "too_many_members",
            "/params/p",
        ),
        bad(
            "100,000 elements",
            with_param(&format!("[{}0]", "0,".repeat(99_999))),
            "too_many_members",
            "/params/p",
        ),
        bad(
            "an event of more than 64 KiB",
            with_param(&format!("\"{}\"", "x".repeat(64 << 10))),
            "event_too_large",
            "",
        ),
        bad("a number beyond any float", with_param("1e999"), "number_out_of_range", "/params/p"),
        bad(
            "a negative number beyond any float",
            with_param("[0,-1E+400]"),
            "number_out_of_range",
            "/params/p/1",
        ),
        bad("a number of 500 digits", with_param(&"9".repeat(500)), "number_out_of_range", "/params/p"),
        bad(
            "a fraction of 500 digits",
            with_param(&format!("0.{}", "3".repeat(500))),
            "number_out_of_range",
            "/params/p",
        ),
    ]
}

fn what_json_allows() -> Vec<BadEvent> {
    let of_params = |text: &str| with(&format!("\"params\":{{{text}}}"));
    vec![
        bad("half of a surrogate pair", with_param(r#""\ud83d""#), "lone_surrogate", "/params/p"),
        bad("the other half", with_param(r#"["","\ude00x"]"#), "lone_surrogate", "/params/p/1"),
        bad("two first halves", with_param(r#""\ud83d\ud83d\ude00""#), "lone_surrogate", "/params/p"),
        bad("half a pair in a key", of_params(r#""\ud83d":1"#), "lone_surrogate", "/params"),
        bad("half a pair in a member's name", with(r#""\udead":1"#), "lone_surrogate", ""),
        bad("half a pair in a type", r#"{"type":"\ud83d"}"#, "lone_surrogate", "/type"),
        bad("NUL in a parameter", with_param(r#""a\u0000b""#), "nul_character", "/params/p"),
        bad("NUL in a key", with_param(r#"{"\u0000":1}"#), "nul_character", "/params/p"),
        bad("NUL in an id", with(r#""id":"\u0000""#), "nul_character", "/id"),
        bad("a member twice", with(r#""id":"a","id":"a""#), "duplicate_key", "/id"),
        bad("a type twice", r#"{"type":"good","type":"bad"}"#, "duplicate_key", "/type"),
        bad("a parameter twice", of_params(r#""a":1,"b":2,"a":1"#), "duplicate_key", "/params/a"),
        bad("a key twice, deep down", with_param(r#"[{"b":1,"b":2}]"#), "duplicate_key", "/params/p/0/b"),
        bad("a key and its escaped twin", of_params(r#""a":1,"\u0061":2"#), "duplicate_key", "/params/a"),
    ]
}

/// What is not JSON: on its own and in an array nothing can be told apart, as a line it costs that line.
pub fn not_json() -> Vec<BadEvent> {
    let param = |bytes: &[u8]| [b"{\"type\":\"bad\",\"params\":{\"p\":", bytes, b"}}"].concat();
    let code = "malformed_json";
    vec![
        bad("an object without an end", r#"{"type":"bad""#, code, "column 14"),
        bad("a string without an end", r#"{"type":"bad"#, code, "column 13"),
        bad("a comma too many", r#"{"type":"bad",}"#, code, "column 15"),
        bad("no colon", r#"{"type" "bad"}"#, code, "column 9"),
        bad("a name without quotes", r#"{type:"bad"}"#, code, "column 2"),
        bad("apostrophes", "{'type':'bad'}", code, "column 2"),
        bad("a word", "bad", code, "column 1"),
        bad("two events on a line", r#"{"type":"bad"}{"type":"bad"}"#, code, "column 15"),
        bad("a comment", r#"{"type":"bad"} // good"#, code, "column 16"),
        bad("a byte order mark", "\u{feff}{\"type\":\"bad\"}", code, "byte order mark"),
        bad("NaN", param(b"NaN"), code, "NaN is not JSON"),
        bad("Infinity", param(b"Infinity"), code, "Infinity is not JSON"),
        bad("negative Infinity", param(b"-Infinity"), code, "Infinity is not JSON"),
        bad("a leading zero", param(b"007"), code, "column 30"),
        bad("a hexadecimal number", param(b"0x1F"), code, "column 30"),
        bad("a leading plus", param(b"+1"), code, "column 29"),
        bad("a raw tab in a string", param(b"\"a\tb\""), code, "column 31"),
        bad("a raw NUL in a string", param(b"\"a\0b\""), code, "column 31"),
        bad("a raw NUL between tokens", b"{\"type\":\"bad\",\0\"id\":\"a\"}", code, "column 15"),
        bad("an escape that JSON does not have", param(br#""\x41""#), code, "column 31"),
        bad("an escape cut short", param(br#""\u00""#), code, "column 34"),
        bad("bytes that are not UTF-8", param(b"\"caf\xe9\""), code, "invalid UTF-8"),
        bad("an overlong encoding", param(b"\"\xc0\xaf\""), code, "column 30"),
        bad("a surrogate in UTF-8", param(b"\"\xed\xa0\x80\""), code, "column 30"),
        bad("a character cut off", param(b"\"\xf0\x9f\x98"), code, "column 30"),
    ]
}

/// Events that are as large as may be.
pub fn at_the_limit() -> Vec<BadEvent> {
    let members: Vec<String> = (0..999).map(|n| format!("\"k{n}\":{n}")).collect();
    let number_7 = |more: &str| format!(r#"{{"type":"good","params":{{"n":7{more}}}}}"#);
    let nested = format!(r#","p":{}{}"#, "[".repeat(31), "]".repeat(31));
    let longest = (64 << 10) - number_7(r#","p":"""#).len();
    let of_type = |text: &str| format!(r#"{{"type":"{text}","params":{{"n":7}}}}"#);
    vec![
        bad("32 levels are good", number_7(&nested), "", ""),
        bad("1,000 parameters are good", number_7(&format!(",{}", members.join(","))), "", ""),
        bad("64 KiB are good", number_7(&format!(r#","p":"{}""#, "x".repeat(longest))), "", ""),
        bad("255 characters of type are good", of_type(&"😀".repeat(255)), "", ""),
        bad("a type of any script is good", of_type("δοκιμή/тест?&=%20"), "", ""),
        bad("the largest float is good", number_7(r#","p":[1.7976931348623157e308,-0,1e-400]"#), "", ""),
        bad("a pair of surrogates is good", number_7(r#","p":"\ud83d\ude00""#), "", ""),
        bad(
            "U+FFFF and private characters are good",
            number_7(",\"p\":\"\u{ffff}\u{e000}\u{10ffff}\""),
            "",
            "",
        ),
        bad("the same key in two objects is good", number_7(r#","p":[{"a":1},{"a":1}]"#), "", ""),
        bad("null is no id", r#"{"type":"good","params":{"n":7},"id":null,"at":null,"ip":null}"#, "", ""),
        bad("white space is good", "\r\n\t {\"type\" :\n\"good\",\"params\":{\"n\":7}} \n", "", ""),
        bad(
            "a leap second is good",
            r#"{"type":"good","params":{"n":7},"at":"2016-12-31T23:59:60Z"}"#,
            "",
            "",
        ),
    ]
}
