//! The file around the values: compression, blocks and their order.

use std::io::{self, BufRead, BufReader, Read, Write};

use model::Digest;

use crate::deflate::Encoder;
use crate::inflate::Inflate;
use crate::{Error, Limits, ec};

const MAGIC: &[u8; 4] = b"ADB.";
const DEFLATE: &[u8; 4] = b"ADBd";
const COMPRESSED: &[u8; 4] = b"ADBc";

/// Block types, the upper two bits of a header.
const ADB: u32 = 0;
const SIGNATURE: u32 = 1;
const DATA: u32 = 2;
const EXTENDED: u32 = 3;

/// Longest payload of a block with a plain header.
const LONGEST_PLAIN: u64 = (1 << 30) - 5;
/// How many signatures a file may have, and how many bytes each; beyond that it is refused.
const MOST_SIGNATURES: usize = 64;
const LONGEST_SIGNATURE: u64 = 64 << 10;

/// What a file contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// A package.
    Package,
    /// An index of packages.
    Index,
}

impl Schema {
    /// The four bytes after the magic number; the signature covers them.
    pub fn bytes(self) -> [u8; 4] {
        match self {
            Schema::Package => *b"pckg",
            Schema::Index => *b"indx",
        }
    }
}

/// How a file is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not compressed.
    None,
    /// Deflate, apk's default and the only one that OpenWrt's apk reads.
    #[default]
    Deflate,
}

/// Metadata and signatures of a file: everything before the data of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adb {
    /// What the file contains.
    pub schema: Schema,
    /// The payload of the ADB block.
    pub payload: Vec<u8>,
    /// The payloads of the signature blocks.
    pub signatures: Vec<Vec<u8>>,
}

impl Adb {
    /// Reads everything before the data. Nothing of it is trusted yet: [`Adb::verify`] it, or compare [`Adb::digest`]
    /// with a trusted index.
    pub fn read(mut input: impl Read, limits: &Limits) -> Result<Self, Error> {
        Ok(Self::open(&mut input as &mut dyn Read, limits)?.0)
    }

    pub(crate) fn open<R: Read>(input: R, limits: &Limits) -> Result<(Self, BlockReader<R>), Error> {
        let mut blocks = BlockReader::new(input, limits)?;
        let payload = blocks.adb(limits.index)?;
        let mut signatures = Vec::new();
        while let Some(length) = blocks.next_if(SIGNATURE)? {
            if signatures.len() == MOST_SIGNATURES || length > LONGEST_SIGNATURE {
                return Err(Error::AdbBlock { why: "there are too many signatures, or one is too long" });
            }
            signatures.push(blocks.payload(length)?);
        }
        Ok((Adb { schema: blocks.schema, payload, signatures }, blocks))
    }

    /// SHA-256 of the metadata: what an index stores to identify a package.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.payload)
    }

    /// Checks that one of the keys made one of the signatures; returns that key's id.
    pub fn verify(&self, keys: &[ec::PublicKey]) -> Result<ec::KeyId, Error> {
        let digest = ec::digest(&self.payload);
        let good =
            |key: &&ec::PublicKey| self.signatures.iter().any(|block| key.verify(self.schema.bytes(), &digest, block));
        keys.iter()
            .find(good)
            .map(ec::PublicKey::id)
            .ok_or(Error::AdbUntrusted { signatures: self.signatures.len(), keys: keys.len() })
    }

    /// Adds a signature.
    pub fn sign(&mut self, key: &ec::SecretKey) -> Result<(), Error> {
        self.signatures.push(key.sign(self.schema.bytes(), &ec::digest(&self.payload))?);
        Ok(())
    }

    /// Writes a file without data, such as an index.
    pub fn write(&self, mut out: impl Write, compression: Compression) -> Result<(), Error> {
        Writer::new(&mut out as &mut dyn Write, self, compression)?.finish()?;
        Ok(())
    }
}

/// Writes a file: metadata and signatures first, then [`Writer::data`] for each file.
pub struct Writer<W: Write> {
    out: Output<W>,
}

enum Output<W: Write> {
    Plain(W),
    Deflate(Box<Encoder<W>>),
}

impl<W: Write> Writer<W> {
    /// Writes everything before the data.
    pub fn new(mut out: W, adb: &Adb, compression: Compression) -> Result<Self, Error> {
        let out = match compression {
            Compression::None => Output::Plain(out),
            Compression::Deflate => {
                out.write_all(DEFLATE)?;
                Output::Deflate(Box::new(Encoder::new(out)))
            }
        };
        let mut writer = Writer { out };
        writer.put(MAGIC)?;
        writer.put(&adb.schema.bytes())?;
        writer.block(ADB, adb.payload.len() as u64, &mut &adb.payload[..])?;
        for signature in &adb.signatures {
            writer.block(SIGNATURE, signature.len() as u64, &mut &signature[..])?;
        }
        Ok(writer)
    }

    /// The content of one file, identified by the number of its directory and its position there, both from 1.
    pub fn data(&mut self, directory: u32, file: u32, length: u64, content: &mut dyn Read) -> Result<(), Error> {
        let numbers = [directory.to_le_bytes(), file.to_le_bytes()].concat();
        self.block(DATA, length + 8, &mut numbers.chain(content))
    }

    /// Ends the file and gives the inner writer back.
    pub fn finish(self) -> Result<W, Error> {
        Ok(match self.out {
            Output::Plain(out) => out,
            Output::Deflate(encoder) => encoder.finish()?,
        })
    }

    fn block(&mut self, kind: u32, length: u64, payload: &mut dyn Read) -> Result<(), Error> {
        let plain = u32::try_from(length).ok().filter(|_| length <= LONGEST_PLAIN);
        let size = match plain {
            Some(length) => {
                self.put(&(kind << 30 | (length + 4)).to_le_bytes())?;
                4
            }
            None => {
                self.put(&(EXTENDED << 30 | kind).to_le_bytes())?;
                self.put(&[0; 4])?;
                self.put(&(length + 16).to_le_bytes())?;
                16
            }
        } + length;
        let copied = io::copy(&mut payload.take(length), &mut self.out)?;
        if copied != length || payload.read(&mut [0])? != 0 {
            return Err(Error::Plan { what: "the source of a file does not have the promised length".to_owned() });
        }
        let padding = size.next_multiple_of(8) - size;
        io::copy(&mut io::repeat(0).take(padding), &mut self.out)?;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.out.write_all(bytes)?)
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::Plain(out) => out.write(bytes),
            Output::Deflate(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Plain(out) => out.flush(),
            Output::Deflate(out) => out.flush(),
        }
    }
}

/// A file's bytes, decompressed.
enum Input<R: Read> {
    Plain(BufReader<R>),
    Deflate(Box<Inflate<BufReader<R>>>),
    Zstd(Box<ruzstd::decoding::StreamingDecoder<BufReader<R>, ruzstd::decoding::FrameDecoder>>),
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Input::Plain(input) => input.read(out),
            Input::Deflate(input) => {
                let count = input.read(out)?;
                if count == 0 && !out.is_empty() && !input.get_mut().fill_buf()?.is_empty() {
                    return Err(Error::GzipTrailing.into());
                }
                Ok(count)
            }
            Input::Zstd(input) => {
                let count = input.read(out).map_err(|_| io::Error::from(Error::GzipCorrupt))?;
                if count == 0 && !out.is_empty() && !input.get_mut().fill_buf()?.is_empty() {
                    return Err(Error::GzipTrailing.into());
                }
                Ok(count)
            }
        }
    }
}

/// Walks the blocks of a file.
pub(crate) struct BlockReader<R: Read> {
    input: Input<R>,
    schema: Schema,
    /// How many more bytes the compression may yield.
    left: u64,
    limit: u64,
    /// The type and length of a block whose payload was not read yet.
    pending: Option<(u32, u64)>,
    /// Padding after the payload that was requested last.
    padding: usize,
}

/// A block with the data of one file.
pub(crate) struct Data {
    pub(crate) directory: u32,
    pub(crate) file: u32,
    pub(crate) length: u64,
}

impl<R: Read> BlockReader<R> {
    fn new(input: R, limits: &Limits) -> Result<Self, Error> {
        let mut input = BufReader::with_capacity(16 << 10, input);
        let start = input.fill_buf()?;
        let magic = start
            .get(..4)
            .ok_or(Error::AdbMagic { found: if start.is_empty() { "an empty file" } else { "a few bytes" } })?;
        let input = match magic {
            _ if magic == MAGIC => Input::Plain(input),
            _ if magic == DEFLATE => {
                input.consume(4);
                deflate(input)
            }
            _ if magic == COMPRESSED => {
                let mut header = [0; 6];
                input.read_exact(&mut header).map_err(truncated)?;
                match header[4] {
                    0 => Input::Plain(input),
                    1 => deflate(input),
                    2 => zstd(input)?,
                    _ => return Err(Error::AdbMagic { found: "a compression that is not defined" }),
                }
            }
            [0x1f, 0x8b, ..] => {
                return Err(Error::AdbMagic { found: "gzip data, such as an ipk or an apk of version 2" });
            }
            _ => return Err(Error::AdbMagic { found: "something else" }),
        };
        let limit = limits.unpacked;
        let mut reader = BlockReader { input, schema: Schema::Package, left: limit, limit, pending: None, padding: 0 };
        let header: [u8; 8] = reader.array()?;
        if &header[..4] != MAGIC {
            return Err(Error::AdbMagic { found: "something else inside its compression" });
        }
        reader.schema = [Schema::Package, Schema::Index]
            .into_iter()
            .find(|schema| schema.bytes() == header[4..])
            .ok_or(Error::AdbMagic { found: "an ADB file of an unknown kind" })?;
        Ok(reader)
    }

    fn adb(&mut self, limit: u64) -> Result<Vec<u8>, Error> {
        match self.next_if(ADB)? {
            Some(length) if length > limit => Err(Error::IndexTooLarge { limit }),
            Some(length) => self.payload(length),
            None => Err(Error::AdbBlock { why: "the metadata is missing" }),
        }
    }

    /// The next block of data, or `None` at the end of the file.
    pub(crate) fn next_data(&mut self) -> Result<Option<Data>, Error> {
        let Some(length) = self.next_if(DATA)? else {
            return match self.pending {
                None => Ok(None),
                Some(_) => Err(Error::AdbBlock { why: "a second metadata block, or a signature after file data" }),
            };
        };
        let length = length.checked_sub(8).ok_or(Error::AdbBlock { why: "file data is too short" })?;
        let (directory, file) = (u32::from_le_bytes(self.array()?), u32::from_le_bytes(self.array()?));
        Ok(Some(Data { directory, file, length }))
    }

    /// Bytes of the current block; the caller must read exactly its length.
    pub(crate) fn content(&mut self, length: u64) -> impl Read {
        Content { reader: self, left: length }
    }

    /// The length of the next block, if it has this type.
    fn next_if(&mut self, kind: u32) -> Result<Option<u64>, Error> {
        if self.pending.is_none() {
            self.pending = self.header()?;
        }
        Ok(self.pending.take_if(|(found, _)| *found == kind).map(|(_, length)| length))
    }

    fn header(&mut self) -> Result<Option<(u32, u64)>, Error> {
        let padding = std::mem::take(&mut self.padding);
        let mut zeros = [0; 8];
        self.read_exact(&mut zeros[..padding])?;
        if zeros != [0; 8] {
            return Err(Error::AdbBlock { why: "the padding is not zero" });
        }
        let mut first = [0; 1];
        if self.read(&mut first)? == 0 {
            return Ok(None);
        }
        let rest: [u8; 3] = self.array()?;
        let word = u32::from_le_bytes([first[0], rest[0], rest[1], rest[2]]);
        let (kind, header, length) = match word >> 30 {
            EXTENDED => {
                let zero = u32::from_le_bytes(self.array()?);
                let length = u64::from_le_bytes(self.array()?).checked_sub(16);
                // No writer uses the long form for a short length.
                let length = length.filter(|length| *length > LONGEST_PLAIN && zero == 0);
                let length = length.ok_or(Error::AdbBlock { why: "an extended header is malformed or not needed" })?;
                (word & LARGEST_TYPE, 16, length)
            }
            kind => {
                let length = (word & LARGEST_TYPE).checked_sub(4);
                (kind, 4, u64::from(length.ok_or(Error::AdbBlock { why: "a block is shorter than its header" })?))
            }
        };
        if length > self.left {
            return Err(Error::GzipTooLarge { limit: self.limit });
        }
        let size = header + length;
        self.padding = usize::try_from(size.next_multiple_of(8) - size).unwrap_or(0);
        Ok(Some((kind, length)))
    }

    /// The payload in memory, which grows only as bytes arrive, whatever length the header claims.
    fn payload(&mut self, length: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.content(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        self.read_exact(&mut array)?;
        Ok(array)
    }

    fn read_exact(&mut self, mut bytes: &mut [u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let count = self.read(bytes)?;
            if count == 0 {
                return Err(Error::AdbTruncated);
            }
            bytes = &mut bytes[count..];
        }
        Ok(())
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Error> {
        let count = self.input.read(bytes)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(Error::GzipTooLarge { limit: self.limit }),
        }
        Ok(count)
    }
}

/// Mask for the lower 30 bits of a block header.
const LARGEST_TYPE: u32 = (1 << 30) - 1;

struct Content<'a, R: Read> {
    reader: &'a mut BlockReader<R>,
    left: u64,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let wanted = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.reader.read(&mut out[..wanted])?;
        if count == 0 {
            return Err(Error::AdbTruncated.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

fn deflate<R: Read>(input: BufReader<R>) -> Input<R> {
    Input::Deflate(Box::new(Inflate::new(input, || Error::AdbTruncated)))
}

fn zstd<R: Read>(input: BufReader<R>) -> Result<Input<R>, Error> {
    let decoder = ruzstd::decoding::StreamingDecoder::new(input).map_err(|_| Error::GzipCorrupt)?;
    Ok(Input::Zstd(Box::new(decoder)))
}

fn truncated(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof { Error::AdbTruncated } else { error.into() }
}
