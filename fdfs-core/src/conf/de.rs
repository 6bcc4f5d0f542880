//! A serde data format over [`Ini`]: one settings struct per program reads both file forms.
//!
//! Fields are looked up by name, so only known keys are seen; [`super::unknown`] reports the rest.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::{BadValue, ConfError, Warning};
use super::ini::{Entry, GLOBAL, Ini};
use super::unknown;
use super::value::{comment_dropped, parse_bool, parse_int, without_comment};

/// Name of a newtype whose text never holds a `#`: a comment behind it is dropped with a warning.
pub(crate) const WORD: &str = "fdfs word";
/// A [`WORD`] that is a group name: cut to 16 bytes with a warning.
pub(crate) const GROUP: &str = "fdfs group";
/// Bytes of a group name.
const MAX_GROUP: usize = 16;

/// A field of a settings struct that is a struct itself.
#[derive(Debug, Clone, Copy)]
pub enum Nested {
    /// The section of the field's name; a key that is not there is taken from the global section, except those
    /// that are named here.
    Section(&'static str, &'static [&'static str]),
    /// More global keys.
    Global(&'static str),
}

impl Nested {
    pub(super) const fn field(&self) -> &'static str {
        match self {
            Self::Section(field, _) | Self::Global(field) => field,
        }
    }
}

/// What a program's file may hold beside the fields of its struct.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Fields that are structs.
    pub nested: &'static [Nested],
    /// Keys with numbers in them: section and key.
    pub known: fn(&str, &str) -> bool,
    /// Keys that other versions read, and what to say about them. A name that ends in `.` stands for all keys
    /// that begin so.
    pub obsolete: &'static [(&'static str, &'static str)],
}

/// Reads the whole of `ini` and warns about keys that nothing reads.
pub fn read<T: DeserializeOwned>(
    ini: &Ini,
    rules: &Rules,
    warnings: &mut Vec<Warning>,
) -> Result<T, ConfError> {
    let reader = Reader { ini, rules, warnings: RefCell::default(), fields: RefCell::default() };
    let value = T::deserialize(Scope { reader: &reader, section: GLOBAL, own: None });
    warnings.append(&mut reader.warnings.borrow_mut());
    let value = value.map_err(|bad| bad.placed(ini, GLOBAL))?;
    unknown::report(ini, rules, &reader.fields.borrow(), warnings);
    Ok(value)
}

/// Reads one section alone; the keys of the file are checked by [`read`].
pub fn read_section<T: DeserializeOwned>(
    ini: &Ini,
    section: &str,
    warnings: &mut Vec<Warning>,
) -> Result<T, ConfError> {
    let rules = Rules { nested: &[], known: |_, _| true, obsolete: &[] };
    let reader = Reader { ini, rules: &rules, warnings: RefCell::default(), fields: RefCell::default() };
    let value = T::deserialize(Scope { reader: &reader, section, own: None });
    warnings.append(&mut reader.warnings.borrow_mut());
    value.map_err(|bad| bad.placed(ini, section))
}

/// Known keys: the section they are for, and whether they may stand in the global section too.
pub(super) struct Fields {
    pub section: &'static str,
    pub names: &'static [&'static str],
    pub own: &'static [&'static str],
}

struct Reader<'a> {
    ini: &'a Ini,
    rules: &'a Rules,
    warnings: RefCell<Vec<Warning>>,
    fields: RefCell<Vec<Fields>>,
}

/// Why a value was refused, before its place is known.
#[derive(Debug)]
pub(super) enum DeError {
    /// What was expected.
    Expected(String),
    Placed(ConfError),
}

impl DeError {
    fn placed(self, ini: &Ini, section: &str) -> ConfError {
        match self {
            Self::Placed(error) => error,
            Self::Expected(why) => ConfError::Syntax { at: ini.place_of(section), why },
        }
    }
}

impl fmt::Display for DeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected(what) => f.write_str(what),
            Self::Placed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DeError {}

impl serde::de::Error for DeError {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self::Expected(what.to_string())
    }
    fn invalid_type(_: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::Expected(expected.to_string())
    }
    fn invalid_value(_: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::Expected(expected.to_string())
    }
}

/// A section, as a struct.
#[derive(Clone, Copy)]
struct Scope<'a> {
    reader: &'a Reader<'a>,
    section: &'a str,
    /// `Some`: keys other than these are looked up in the global section too.
    own: Option<&'static [&'static str]>,
}

impl<'a> Scope<'a> {
    fn entries(&self, key: &str) -> Vec<&'a Entry> {
        let ini = self.reader.ini;
        let of = |section: &str| -> Vec<&'a Entry> {
            let entries = ini.section(section).map_or(&[][..], |section| &section.entries);
            entries.iter().filter(|entry| entry.key == key).collect()
        };
        let here = of(self.section);
        match self.own {
            Some(own) if here.is_empty() && !own.contains(&key) => of(GLOBAL),
            _ => here,
        }
    }
}

impl<'de, 'a> Deserializer<'de> for Scope<'a> {
    type Error = DeError;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeError> {
        let rules = self.reader.rules;
        if self.section == GLOBAL {
            self.reader.fields.borrow_mut().push(Fields { section: GLOBAL, names: fields, own: &[] });
        } else if let Some(Nested::Section(section, own)) =
            rules.nested.iter().find(|nested| nested.field() == self.section)
        {
            self.reader.fields.borrow_mut().push(Fields { section, names: fields, own });
        }
        visitor.visit_map(StructFields { scope: self, fields: fields.iter(), next: None })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, DeError> {
        Err(DeError::Expected("a settings struct".into()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

enum Field<'a> {
    Struct(Scope<'a>),
    Value(Vec<&'a Entry>),
}

struct StructFields<'a> {
    scope: Scope<'a>,
    fields: std::slice::Iter<'static, &'static str>,
    next: Option<Field<'a>>,
}

impl<'de, 'a> MapAccess<'de> for StructFields<'a> {
    type Error = DeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DeError> {
        let reader = self.scope.reader;
        for &field in self.fields.by_ref() {
            let nested = reader.rules.nested.iter().find(|nested| nested.field() == field);
            let found = match nested.filter(|_| self.scope.section == GLOBAL) {
                Some(Nested::Section(section, own)) => {
                    Field::Struct(Scope { reader, section, own: Some(own) })
                }
                Some(Nested::Global(_)) => Field::Struct(self.scope),
                None => match self.scope.entries(field) {
                    entries if entries.is_empty() => continue,
                    entries => Field::Value(entries),
                },
            };
            self.next = Some(found);
            let key: StrDeserializer<'_, DeError> = field.into_deserializer();
            return seed.deserialize(key).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DeError> {
        match self.next.take() {
            Some(Field::Struct(scope)) => seed.deserialize(scope),
            Some(Field::Value(entries)) => {
                let value =
                    Value { reader: self.scope.reader, section: self.scope.section, entries: &entries };
                value.scalar().and_then(|last| {
                    seed.deserialize(value).map_err(|bad| place(bad, self.scope.reader.ini, last))
                })
            }
            None => Err(DeError::Expected("a key before its value".into())),
        }
    }
}

/// Adds the place of `entry` to an error about its value.
fn place(bad: DeError, ini: &Ini, entry: &Entry) -> DeError {
    let DeError::Expected(expected) = bad else { return bad };
    let section =
        ini.sections().iter().find(|section| section.entries.iter().any(|e| std::ptr::eq(e, entry)));
    let key = name_of(section.map_or(GLOBAL, |section| &section.name), &entry.key);
    let (at, found) = (entry.at.clone(), entry.value.clone());
    DeError::Placed(ConfError::Value(Box::new(BadValue { at, key, found, expected })))
}

/// A key in messages.
pub(crate) fn name_of(section: &str, key: &str) -> String {
    if section == GLOBAL { key.to_owned() } else { format!("[{section}] {key}") }
}

/// All values of one key.
#[derive(Clone, Copy)]
struct Value<'a, 'b> {
    reader: &'a Reader<'a>,
    section: &'a str,
    entries: &'b [&'a Entry],
}

impl<'a> Value<'a, '_> {
    /// The value that counts.
    fn scalar(&self) -> Result<&'a Entry, DeError> {
        self.entries.last().copied().ok_or_else(|| DeError::Expected("a value".into()))
    }

    /// The one value of a scalar key; says so when there are several.
    fn one(&self) -> Result<&'a Entry, DeError> {
        let last = self.scalar()?;
        if last.in_array {
            return Err(DeError::Expected("one value, not a list".into()));
        }
        if let [first, .., _] = self.entries {
            let key = name_of(self.section, &last.key);
            let text = format!(
                "{key} is given {} times, first at {}: this last one counts",
                self.entries.len(),
                first.at
            );
            self.warn(Warning::new(last.at.clone(), text));
        }
        Ok(last)
    }

    fn word(&self) -> Result<&'a str, DeError> {
        let entry = self.one()?;
        let (word, cut) = without_comment(&entry.value);
        if cut {
            self.warn(Warning::new(entry.at.clone(), comment_dropped(entry, word)));
        }
        Ok(word)
    }

    fn group(&self) -> Result<&'a str, DeError> {
        let name = self.word()?;
        match name.get(..MAX_GROUP) {
            Some(short) if short.len() < name.len() => {
                let at = self.scalar()?.at.clone();
                self.warn(Warning::new(
                    at,
                    format!("group name {name} is cut to {MAX_GROUP} bytes: {short}"),
                ));
                Ok(short)
            }
            _ => Ok(name),
        }
    }

    fn warn(&self, warning: Warning) {
        let mut warnings = self.reader.warnings.borrow_mut();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    fn int<T: TryFrom<i64>>(&self, max: &dyn fmt::Display, min: i64) -> Result<T, DeError> {
        let number = parse_int(self.word()?).and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| DeError::Expected(format!("a whole number {min}..{max}")))
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
            visitor.$visit(self.int::<$type>(&<$type>::MAX, i64::try_from(<$type>::MIN).unwrap_or(i64::MIN))?)
        })*
    };
}

impl<'de> Deserializer<'de> for Value<'_, '_> {
    type Error = DeError;

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        let on = parse_bool(self.word()?);
        visitor.visit_bool(on.ok_or_else(|| DeError::Expected("true or false".into()))?)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        visitor.visit_str(&self.one()?.value)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        if self.scalar()?.value.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DeError> {
        match name {
            WORD => visitor.visit_str(self.word()?),
            GROUP => visitor.visit_str(self.group()?),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        visitor.visit_seq(Items { value: self, next: 0 })
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct enum
        identifier ignored_any
    }
}

struct Items<'a, 'b> {
    value: Value<'a, 'b>,
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = DeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DeError> {
        let Some(entry) = self.value.entries.get(self.next) else { return Ok(None) };
        self.next += 1;
        let mut alone = Entry::clone(entry);
        alone.in_array = false;
        let item = Value { entries: &[&alone], ..self.value };
        seed.deserialize(item).map(Some).map_err(|bad| place(bad, self.value.reader.ini, entry))
    }
}
