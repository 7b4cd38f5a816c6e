//! Which country and city an address is in, by a database in MaxMind's format (City or Country).
//!
//! ```text
//! lookup ──▶ current database (a pointer that is swapped, never locked) ──▶ Place
//! reload_if_changed: the file has another stamp ─▶ open it ─▶ swap
//!                                                       └─ cannot be opened: keep the old one
//! ```
//!
//! A large database is mapped, not read, so that only the pages in use count as memory. What is mapped is
//! a private copy without a name: whoever overwrites the file in place (`cp new.mmdb geo.mmdb`) would
//! otherwise pull mapped pages away and kill the process with SIGBUS.

use super::GEO_DATABASE;
use angarium_base::{Context, Result};
use arc_swap::ArcSwapOption;
use maxminddb::Reader;
use memmap2::Mmap;
use serde::Deserialize;
use std::{
    borrow::Cow,
    fs::{self, File, Metadata, OpenOptions},
    io,
    net::IpAddr,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// What stands for a country or a city that is not known.
pub const UNKNOWN: &str = "XX";

/// Up to this size a database is simply read: 4 MiB are not worth a copy on disk.
const READ_MAX_BYTES: u64 = 4 << 20;

/// Where an address is; [`UNKNOWN`] where that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 alpha-2.
    pub country: Cow<'static, str>,
    /// In English.
    pub city: Cow<'static, str>,
}

/// The database, and the file it comes from.
pub struct Geo {
    path: Option<PathBuf>,
    current: ArcSwapOption<Database>,
}

impl Geo {
    /// Opens the database at `path`; without one, every place is unknown.
    ///
    /// # Errors
    /// `geo_database` when the file is not there, cannot be read, or is not a MaxMind database.
    pub fn open(path: Option<&Path>) -> Result<Geo> {
        let current = path.map(Database::open).transpose()?.map(Arc::new);
        Ok(Geo { path: path.map(Path::to_owned), current: ArcSwapOption::new(current) })
    }

    /// Where `address` is. A record that cannot be read counts as unknown.
    pub fn lookup(&self, address: IpAddr) -> Place {
        let current = self.current.load();
        let record = current.as_ref().and_then(|database| database.record(address)).unwrap_or_default();
        Place { country: known(record.country.iso_code), city: known(record.city.names.en) }
    }

    /// Takes the file over if it is not the one that was read; returns whether it did. Touches the disk.
    ///
    /// # Errors
    /// As [`Geo::open`]; the database in use stays in use, and the next call tries again.
    pub fn reload_if_changed(&self) -> Result<bool> {
        let Some(path) = &self.path else { return Ok(false) };
        let stamp = Stamp::of(&metadata(path)?);
        if self.current.load().as_ref().is_some_and(|database| database.stamp == stamp) {
            return Ok(false);
        }
        self.current.store(Some(Arc::new(Database::open(path)?)));
        Ok(true)
    }
}

fn known(text: Option<&str>) -> Cow<'static, str> {
    match text {
        Some(text) if !text.is_empty() => Cow::Owned(text.to_owned()),
        _ => Cow::Borrowed(UNKNOWN),
    }
}

/// The part of a City or Country record that we read
/// (<https://dev.maxmind.com/geoip/docs/databases/city-and-country>).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Record<'a> {
    #[serde(borrow)]
    country: Country<'a>,
    #[serde(borrow)]
    city: City<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Country<'a> {
    iso_code: Option<&'a str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct City<'a> {
    #[serde(borrow)]
    names: Names<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Names<'a> {
    en: Option<&'a str>,
}

struct Database {
    reader: Reader<Content>,
    stamp: Stamp,
}

impl Database {
    fn open(path: &Path) -> Result<Database> {
        // The stamp is older than the content: a file that changes meanwhile is taken over again next time.
        let before = metadata(path)?;
        let content = Content::read(path, before.len())
            .or_error(GEO_DATABASE, "the geo database file cannot be read")?;
        let reader = Reader::from_source(content)
            .or_error(GEO_DATABASE, "the geo database file is not a MaxMind database")?;
        Ok(Database { reader, stamp: Stamp::of(&before) })
    }

    fn record(&self, address: IpAddr) -> Option<Record<'_>> {
        self.reader.lookup(address.to_canonical()).ok()?.decode().ok()?
    }
}

fn metadata(path: &Path) -> Result<Metadata> {
    let found = fs::metadata(path).map_err(|error| {
        let message = match error.kind() {
            io::ErrorKind::NotFound => "the geo database file is not there",
            _ => "the geo database file cannot be read",
        };
        GEO_DATABASE.err(message).with_source(error)
    })?;
    match found.is_file() {
        true => Ok(found),
        false => Err(GEO_DATABASE.err("the geo database is not a file")),
    }
}

/// What tells one file at a path from the next.
#[derive(PartialEq, Eq)]
struct Stamp {
    modified_at: Option<SystemTime>,
    size_bytes: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp { modified_at: metadata.modified().ok(), size_bytes: metadata.len(), inode: metadata.ino() }
    }
}

/// The bytes of a database.
enum Content {
    Memory(Vec<u8>),
    Mapped(Mmap),
}

impl Content {
    /// Reads a small file and maps a copy of a large one, if there is a place on disk for the copy.
    fn read(path: &Path, size_bytes: u64) -> io::Result<Content> {
        if size_bytes <= READ_MAX_BYTES {
            return fs::read(path).map(Content::Memory);
        }
        let beside = path.parent().unwrap_or(Path::new("."));
        match private_copy(path, beside).or_else(|_| private_copy(path, &std::env::temp_dir())) {
            Ok(copy) => map(&copy).map(Content::Mapped),
            Err(_) => fs::read(path).map(Content::Memory),
        }
    }
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        match self {
            Content::Memory(bytes) => bytes,
            Content::Mapped(bytes) => bytes,
        }
    }
}

/// A copy in `folder` that has lost its name by the time this returns.
fn private_copy(path: &Path, folder: &Path) -> io::Result<File> {
    let mut from = File::open(path)?;
    let name = folder.join(format!(".angarium-geo-{:016x}", fastrand::u64(..)));
    let mut copy = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&name)?;
    fs::remove_file(&name)?;
    io::copy(&mut from, &mut copy)?;
    Ok(copy)
}

#[allow(unsafe_code, reason = "mapping a file is sound only as long as nobody changes it")]
fn map(private: &File) -> io::Result<Mmap> {
    // SAFETY: the file is a private copy without a name; nobody but us can open it, and we never write to it.
    unsafe { Mmap::map(private) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that goes away with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            let folder = std::env::temp_dir().join(format!("angarium-geo-test-{:016x}", fastrand::u64(..)));
            fs::create_dir(&folder).unwrap();
            Folder(folder)
        }

        fn file(&self, content: &[u8]) -> PathBuf {
            let path = self.0.join("geo.mmdb");
            fs::write(&path, content).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn place(geo: &Geo, address: &str) -> (String, String) {
        let Place { country, city } = geo.lookup(address.parse().unwrap());
        (country.into(), city.into())
    }

    fn expected(country: &str, city: &str) -> (String, String) {
        (country.into(), city.into())
    }

    #[test]
    fn without_a_database_every_place_is_unknown() {
        let geo = Geo::open(None).unwrap();
        assert_eq!(place(&geo, "81.2.69.142"), expected("XX", "XX"));
        assert!(!geo.reload_if_changed().unwrap());
    }

    #[test]
    fn an_address_is_where_the_database_says() {
        let folder = Folder::new();
        let file = mmdb::build(&[
            ("81.2.69.0", 24, "GB", Some("London")),
            ("81.2.0.0", 18, "GB", None),
            ("2001:db8::", 32, "JP", Some("東京")),
        ]);
        let geo = Geo::open(Some(&folder.file(&file))).unwrap();
        assert_eq!(place(&geo, "81.2.69.142"), expected("GB", "London"));
        assert_eq!(place(&geo, "::ffff:81.2.69.142"), expected("GB", "London"));
        assert_eq!(place(&geo, "81.2.1.1"), expected("GB", "XX"));
        assert_eq!(place(&geo, "2001:db8:5::1"), expected("JP", "東京"));
        assert_eq!(place(&geo, "8.8.8.8"), expected("XX", "XX"));
    }

    #[test]
    fn a_large_database_is_mapped_and_survives_being_overwritten_in_place() {
        let folder = Folder::new();
        let mut large = vec![0; READ_MAX_BYTES as usize];
        // A reader looks for the last mark in the file, so what stands before it may be anything.
        let small = mmdb::build(&[("81.2.69.0", 24, "GB", Some("London"))]);
        large.splice(0..0, small.iter().copied());
        large.extend(mmdb::metadata_of(&small));
        let path = folder.file(&large);
        let geo = Geo::open(Some(&path)).unwrap();
        assert!(matches!(Content::read(&path, large.len() as u64), Ok(Content::Mapped(_))));
        fs::write(&path, b"gone").unwrap();
        assert_eq!(place(&geo, "81.2.69.142"), expected("GB", "London"));
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "the copy has no name");
    }

    #[test]
    fn a_new_file_is_taken_over_and_a_broken_one_is_not() {
        let folder = Folder::new();
        let path = folder.file(&mmdb::build(&[("81.2.69.0", 24, "GB", Some("London"))]));
        let geo = Geo::open(Some(&path)).unwrap();
        assert!(!geo.reload_if_changed().unwrap(), "nothing has changed");

        folder.file(b"not a database");
        let error = geo.reload_if_changed().unwrap_err();
        assert_eq!(error.message(), "the geo database file is not a MaxMind database");
        fs::remove_file(&path).unwrap();
        assert_eq!(geo.reload_if_changed().unwrap_err().message(), "the geo database file is not there");
        assert_eq!(place(&geo, "81.2.69.142"), expected("GB", "London"));

        folder.file(&mmdb::build(&[("81.2.69.0", 24, "FR", Some("Paris"))]));
        assert!(geo.reload_if_changed().unwrap());
        assert_eq!(place(&geo, "81.2.69.142"), expected("FR", "Paris"));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused_with_a_sentence() {
        let folder = Folder::new();
        let refused = |path: &Path| Geo::open(Some(path)).err().unwrap().message().to_owned();
        assert_eq!(refused(&folder.0.join("none.mmdb")), "the geo database file is not there");
        assert_eq!(refused(&folder.0), "the geo database is not a file");
        assert_eq!(refused(&folder.file(b"")), "the geo database file is not a MaxMind database");
    }

    /// Writes small databases (<https://maxmind.github.io/MaxMind-DB/>).
    mod mmdb {
        use std::net::IpAddr;

        /// A network, the length of its prefix, country and city. Longer prefixes come first.
        type Entry<'a> = (&'a str, u32, &'a str, Option<&'a str>);

        const MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";

        pub fn build(entries: &[Entry]) -> Vec<u8> {
            let mut data = Vec::new();
            let mut tree: Vec<[Option<Next>; 2]> = vec![[None; 2]];
            for (network, prefix, country, city) in entries.iter().rev() {
                let at = data.len();
                data.extend(record(country, *city));
                let (bits, prefix) = match network.parse().unwrap() {
                    IpAddr::V4(v4) => (u128::from(v4.to_bits()), prefix + 96),
                    IpAddr::V6(v6) => (v6.to_bits(), *prefix),
                };
                insert(&mut tree, bits, prefix, at);
            }
            let nodes = tree.len();
            let mut file = Vec::new();
            for side in tree.into_iter().flatten() {
                let value = match side {
                    None => nodes,
                    Some(Next::Node(node)) => node,
                    Some(Next::Data(at)) => nodes + 16 + at,
                };
                file.extend(&(value as u32).to_be_bytes()[1..]);
            }
            file.extend([0; 16]);
            file.extend(data);
            file.extend(metadata(nodes as u32));
            file
        }

        pub fn metadata_of(file: &[u8]) -> &[u8] {
            let at = file.windows(MARK.len()).rposition(|window| window == MARK).unwrap();
            &file[at..]
        }

        #[derive(Clone, Copy)]
        enum Next {
            Node(usize),
            Data(usize),
        }

        fn insert(tree: &mut Vec<[Option<Next>; 2]>, bits: u128, prefix: u32, data: usize) {
            let mut node = 0;
            for depth in 0..prefix {
                let side = (bits >> (127 - depth) & 1) as usize;
                if depth + 1 == prefix {
                    tree[node][side] = Some(Next::Data(data));
                    return;
                }
                node = match tree[node][side] {
                    Some(Next::Node(next)) => next,
                    // A shorter prefix ended here: both halves below it keep its data.
                    other => {
                        tree.push([other; 2]);
                        tree[node][side] = Some(Next::Node(tree.len() - 1));
                        tree.len() - 1
                    }
                };
            }
        }

        fn record(country: &str, city: Option<&str>) -> Vec<u8> {
            let country = map(&[("geoname_id", number(6, 7)), ("iso_code", string(country))]);
            match city {
                None => map(&[("country", country)]),
                Some(city) => {
                    let names = map(&[("de", string("Anderswo")), ("en", string(city))]);
                    map(&[("city", map(&[("names", names)])), ("country", country)])
                }
            }
        }

        fn metadata(nodes: u32) -> Vec<u8> {
            let fields = map(&[
                ("binary_format_major_version", number(5, 2)),
                ("binary_format_minor_version", number(5, 0)),
                ("build_epoch", vec![4, 2, 0, 0, 0, 1]),
                ("database_type", string("Test-City")),
                ("description", map(&[])),
                ("ip_version", number(5, 6)),
                ("languages", vec![0, 4]),
                ("node_count", number(6, nodes)),
                ("record_size", number(5, 24)),
            ]);
            [MARK, &fields].concat()
        }

        fn map(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
            let mut out = vec![7 << 5 | fields.len() as u8];
            for (name, value) in fields {
                out.extend(string(name));
                out.extend(value);
            }
            out
        }

        fn string(text: &str) -> Vec<u8> {
            assert!(text.len() < 29);
            [&[2 << 5 | text.len() as u8], text.as_bytes()].concat()
        }

        /// An unsigned integer: type 5 has 16 bits, type 6 has 32.
        fn number(kind: u8, value: u32) -> Vec<u8> {
            let bytes = value.to_be_bytes();
            let bytes = if kind == 5 { &bytes[2..] } else { &bytes[..] };
            [&[kind << 5 | bytes.len() as u8], bytes].concat()
        }
    }
}
