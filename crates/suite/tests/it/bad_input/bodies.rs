//! Bodies that are bad as a whole: too large, not what they say they are, or not there to their end.

use super::{
    Case, Expected, JSON, NDJSON, good,
    packed::{
        gzip, gzip_bomb, skippable, zstd, zstd_bomb, zstd_bomb_in_one_segment, zstd_with_false_checksum,
    },
    wire::{Wire, chunks},
};
use angarium_suite::World;
use std::iter::once;

const GZIP: &str = "Content-Encoding: gzip";
const ZSTD: &str = "Content-Encoding: zstd";
/// Of a body, as sent and after inflating.
const LIMIT: usize = 16 << 20;
const TOO_LARGE: Expected = Expected::Problem(413, "body_too_large", "16777216 bytes");
const MALFORMED: &str = "malformed_body";
const UNSUPPORTED: &str = "unsupported_media_type";

type Row = (&'static str, &'static [&'static str], Vec<u8>, Expected);

/// Made one by one: some are large.
pub fn cases(world: &World) -> impl Iterator<Item = Case> {
    let rows: [fn() -> Vec<Row>; 5] = [documents, bombs, damaged, kinds, batches];
    let posted = rows.into_iter().flat_map(|rows| rows()).map(move |(name, headers, body, expected)| {
        let wire = Wire::post(world, "/events", headers, &body);
        Case { name: name.into(), wire, expected, kept: &[] }
    });
    posted.chain(sized(world)).chain(cut_short(world)).chain(packed_and_good(world))
}

fn documents() -> Vec<Row> {
    let malformed = |place| Expected::Problem(400, "malformed_json", place);
    let lines = [good(0), good(1)].join("\n");
    vec![
        ("no body", &[JSON], Vec::new(), malformed("unexpected end of input at line 1, column 1")),
        ("white space only", &[JSON], b" \n ".to_vec(), malformed("line 2, column 2")),
        ("an array without an end", &[JSON], format!("[{}", good(0)).into(), malformed("unexpected end")),
        ("an array with a comma too many", &[JSON], format!("[{},]", good(0)).into(), malformed("line 1")),
        (
            "something behind an array",
            &[JSON],
            format!("[{}]]", good(0)).into(),
            malformed("trailing characters"),
        ),
        ("lines that are called JSON", &[JSON], lines.into(), malformed("application/x-ndjson")),
    ]
}

fn bombs() -> Vec<Row> {
    // 5,000 blocks are 625 MiB: enough to be seen, and not to take the machine down if they get through.
    vec![
        ("a gzip bomb", &[JSON, GZIP], gzip_bomb(), TOO_LARGE),
        ("a gzip bomb of lines", &[NDJSON, GZIP], gzip_bomb(), TOO_LARGE),
        ("a zstd bomb", &[JSON, ZSTD], zstd_bomb(5_000, 17), TOO_LARGE),
        ("a zstd bomb that wants a window of 8 MiB", &[JSON, ZSTD], zstd_bomb(5_000, 23), TOO_LARGE),
        ("a zstd bomb in one segment", &[JSON, ZSTD], zstd_bomb_in_one_segment(5_000), TOO_LARGE),
        (
            "a zstd frame that wants a window of 2 TiB",
            &[JSON, ZSTD],
            zstd_bomb(5_000, 41),
            Expected::Problem(413, "body_too_large", "window"),
        ),
        (
            "a zstd frame that wants a window of 64 MiB",
            &[JSON, ZSTD],
            zstd_bomb(1, 26),
            Expected::Problem(413, "body_too_large", "window"),
        ),
        ("many zstd frames that are one bomb", &[JSON, ZSTD], zstd_bomb(4, 17).repeat(1_250), TOO_LARGE),
    ]
}

fn damaged() -> Vec<Row> {
    let (gz, zs) = (gzip(good(0).as_bytes()), zstd(good(0).as_bytes()));
    let flipped = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 0x10;
        bytes
    };
    let malformed = |place| Expected::Problem(400, MALFORMED, place);
    let large_block = [&zs[..9], &[0xFD, 0xFF, 0xFF]].concat();
    vec![
        ("gzip with a false checksum", &[JSON, GZIP], flipped(&gz, gz.len() - 6), malformed("gzip")),
        ("gzip with a false length", &[JSON, GZIP], flipped(&gz, gz.len() - 1), malformed("gzip")),
        ("gzip with a flipped bit", &[JSON, GZIP], flipped(&gz, 12), malformed("gzip")),
        ("gzip cut short", &[JSON, GZIP], gz[..gz.len() / 2].into(), malformed("gzip")),
        ("gzip without its checksum", &[JSON, GZIP], gz[..gz.len() - 8].into(), malformed("gzip")),
        ("gzip and then something else", &[JSON, GZIP], [&gz[..], b"else"].concat(), malformed("gzip")),
        ("plain JSON that is called gzip", &[JSON, GZIP], good(0).into(), malformed("gzip")),
        ("nothing that is called gzip", &[JSON, GZIP], Vec::new(), malformed("gzip")),
        ("zstd with a false magic number", &[JSON, ZSTD], flipped(&zs, 1), malformed("zstd")),
        (
            "zstd with a false checksum",
            &[JSON, ZSTD],
            zstd_with_false_checksum(good(0).as_bytes()),
            malformed("zstd"),
        ),
        ("zstd with a block that is too large", &[JSON, ZSTD], large_block, malformed("zstd")),
        (
            "zstd of a reserved kind",
            &[JSON, ZSTD],
            [&zs[..4], &[zs[4] | 0b1000], &zs[5..]].concat(),
            malformed("zstd"),
        ),
        (
            "zstd that names a dictionary",
            &[JSON, ZSTD],
            [&zs[..4], &[0b1010_0001, 9], &zs[5..]].concat(),
            malformed("zstd"),
        ),
        ("zstd cut short", &[JSON, ZSTD], zs[..zs.len() - 1].into(), malformed("zstd")),
        ("zstd cut short in its header", &[JSON, ZSTD], zs[..6].into(), malformed("zstd")),
        ("zstd and then something else", &[JSON, ZSTD], [&zs[..], b"else"].concat(), malformed("zstd")),
        (
            "a skippable zstd frame without an end",
            &[JSON, ZSTD],
            skippable(9)[..12].into(),
            malformed("zstd"),
        ),
        ("plain JSON that is called zstd", &[JSON, ZSTD], good(0).into(), malformed("zstd")),
        ("nothing that is called zstd", &[JSON, ZSTD], Vec::new(), malformed("zstd")),
        (
            "gzip that is called nothing",
            &[JSON],
            gz,
            Expected::Problem(400, "malformed_json", "invalid UTF-8 at line 1"),
        ),
    ]
}

fn kinds() -> Vec<Row> {
    let encoding = || Expected::Problem(415, UNSUPPORTED, "gzip, zstd or identity");
    let media = || Expected::Problem(415, UNSUPPORTED, "application/x-ndjson");
    let body = || good(0).into_bytes();
    vec![
        ("brotli", &[JSON, "Content-Encoding: br"], body(), encoding()),
        ("two encodings", &[JSON, "Content-Encoding: gzip, gzip"], body(), encoding()),
        (
            "two encodings in two headers",
            &[JSON, "Content-Encoding: identity", "Content-Encoding: br"],
            body(),
            encoding(),
        ),
        ("an encoding that is no text", &[JSON, "Content-Encoding: gz\u{e9}p"], body(), encoding()),
        ("CSV", &["Content-Type: text/csv"], body(), media()),
        ("XML", &["Content-Type: application/xml; charset=utf-8"], body(), media()),
        ("bytes", &["Content-Type: application/octet-stream"], body(), media()),
        ("parts", &["Content-Type: multipart/form-data; boundary=x"], body(), media()),
        ("a media type that is none", &["Content-Type: /"], body(), media()),
    ]
}

fn batches() -> Vec<Row> {
    let events = |n: usize, between: &str| vec![r#"{"type":"bad"}"#; n].join(between);
    let too_many = || Expected::Problem(413, "too_many_events", "100000 events");
    vec![
        ("too many events in an array", &[JSON], format!("[{}]", events(100_001, ",")).into(), too_many()),
        ("too many events in lines", &[NDJSON], events(100_001, "\n").into(), too_many()),
    ]
}

/// Bodies that are too large as they are sent.
fn sized(world: &World) -> impl Iterator<Item = Case> {
    let announced =
        |length: &str| Wire::open(world, "POST", "/events", &[JSON, &format!("Content-Length: {length}")]);
    let chunked = move || {
        let wire = Wire::open(world, "POST", "/events", &[JSON, "Transfer-Encoding: chunked"]);
        wire.with(&chunks(&vec![b' '; LIMIT + 1], 1 << 20))
    };
    let sent_whole = move || Wire::post(world, "/events", &[JSON], &vec![b' '; LIMIT + (4 << 20)]);
    let too_large = |name: &str, wire| Case { name: name.into(), wire, expected: TOO_LARGE, kept: &[] };
    let early = [
        too_large("a body that is announced as too large", announced(&(LIMIT + 1).to_string())),
        too_large("a body that is announced as huge", announced(&i64::MAX.to_string())),
        Case {
            name: "a body that is announced as more than that".into(),
            wire: announced("99999999999999999999999"),
            expected: Expected::Bare(&[400, 413, 431]),
            kept: &[],
        },
        Case {
            name: "a body of negative length".into(),
            wire: announced("-1"),
            expected: Expected::Bare(&[400]),
            kept: &[],
        },
    ];
    let sent = [
        ("a body in chunks that turns out too large", Box::new(chunked) as Box<dyn Fn() -> Wire>),
        ("a body that is too large and sent all the same", Box::new(sent_whole)),
    ];
    early.into_iter().chain(sent.into_iter().map(move |(name, wire)| too_large(name, wire())))
}

/// Bodies whose sender hangs up in the middle.
fn cut_short(world: &World) -> impl Iterator<Item = Case> {
    let event = good(0);
    let announced = format!("Content-Length: {}", event.len() + 1);
    let (of_length, chunked) = ([JSON, announced.as_str()], [JSON, "Transfer-Encoding: chunked"]);
    let open = |headers: &[&str]| Wire::open(world, "POST", "/events", headers);
    let chunk = chunks(event.as_bytes(), 1_000);
    let rows = [
        ("a body one byte short of its length", open(&of_length).with(event.as_bytes())),
        ("a body of which nothing came", open(&of_length)),
        ("chunks without the last one", open(&chunked).with(&chunk)),
        ("chunks that end within one", open(&chunked).with(&chunk[..chunk.len() - 9])),
        ("chunks whose sizes are no numbers", open(&chunked).with(b"zz\r\n{}\r\n0\r\n\r\n")),
        ("chunks that are longer than they say", open(&chunked).with(b"1\r\n{}{}\r\n0\r\n\r\n")),
    ];
    rows.into_iter().map(|(name, wire)| Case {
        name: name.into(),
        wire: wire.and_hangs_up(),
        expected: Expected::ProblemOrClosed(400, MALFORMED),
        kept: &[],
    })
}

/// What looks suspicious and is good.
fn packed_and_good(world: &World) -> impl Iterator<Item = Case> {
    let halves = |pack: fn(&[u8]) -> Vec<u8>| {
        let array = format!("[{},{}]", good(0), good(1));
        let (one, two) = array.as_bytes().split_at(30);
        [pack(one), pack(two)]
    };
    let ([gz, gz_2], [zs, zs_2]) = (halves(gzip), halves(zstd));
    let post = |headers: &[&str], body: &[u8]| Wire::post(world, "/events", headers, body);
    let nothing = Case {
        name: "an empty array".into(),
        wire: post(&[JSON], b"[]"),
        expected: Expected::Accepted,
        kept: &[],
    };
    let rows = [
        ("a gzip file of two members", post(&[JSON, GZIP], &[gz, gz_2].concat())),
        ("a zstd file of two frames", post(&[JSON, ZSTD], &[&zs[..], &zs_2].concat())),
        (
            "a zstd file with a skippable frame",
            post(&[JSON, ZSTD], &[&zs[..], &skippable(100), &zs_2].concat()),
        ),
        (
            "a zstd file that begins with a skippable frame",
            post(&[JSON, ZSTD], &[&skippable(0), &zs[..], &zs_2].concat()),
        ),
        (
            "lines with empty lines between them",
            post(&[NDJSON], format!("\n\r\n{}\r\n\n{}", good(0), good(1)).as_bytes()),
        ),
    ];
    let good = rows.into_iter().map(|(name, wire)| Case {
        name: name.into(),
        wire,
        expected: Expected::Accepted,
        kept: &[0, 1],
    });
    once(nothing).chain(good)
}
