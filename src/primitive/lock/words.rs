//! Taking a line of the lock apart, in the compiler.

/// What stands between the name and the fingerprint of an operation.
pub(super) const fn layout(operation: &str) -> &str {
    let (_, rest) = word(operation);
    without_last_word(rest)
}

/// What stands in the parentheses of a section.
pub(super) const fn fields(section: &str) -> &str {
    let inner = without_last_word(section);
    if inner.len() < 2 {
        return "";
    }
    inner.split_at(inner.len() - 1).0.split_at(1).1
}

pub(super) const fn without_last_word(text: &str) -> &str {
    let bytes = text.as_bytes();
    let mut index = bytes.len();
    while index > 0 {
        index -= 1;
        if bytes[index] == b' ' {
            return text.split_at(index).0;
        }
    }
    text
}

/// The first word, and what stands behind the space.
pub(super) const fn word(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] == b' ' {
            return (text.split_at(index).0, text.split_at(index + 1).1);
        }
        index += 1;
    }
    (text, "")
}

/// The byte whose hexadecimal digits come first, and what stands behind the space.
pub(super) const fn byte(text: &str) -> Option<(u8, &str)> {
    let (first, rest) = word(text);
    let Some(digits) = after(first, "0x") else { return None };
    match u8::from_str_radix(digits, 16) {
        Ok(byte) => Some((byte, rest)),
        Err(_) => None,
    }
}

/// Whether `text` is `v` and this number.
pub(super) const fn is_version(text: &str, version: u8) -> bool {
    match after(text, "v") {
        Some(digits) => match u8::from_str_radix(digits, 10) {
            Ok(number) => number == version,
            Err(_) => false,
        },
        None => false,
    }
}

/// What stands behind `start`.
pub(super) const fn after<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    if text.len() < start.len() {
        return None;
    }
    let mut index = 0;
    while index < start.len() {
        if text.as_bytes()[index] != start.as_bytes()[index] {
            return None;
        }
        index += 1;
    }
    Some(text.split_at(start.len()).1)
}

pub(super) const fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && after(left, right).is_some()
}

/// The field called `name`, with its type; nothing if there is none.
pub(super) const fn find_field<'t>(fields: &'t str, name: &str) -> &'t str {
    let mut rest = fields;
    while let Some((field, behind)) = first_field(rest) {
        if same(name_of(field), name) {
            return field;
        }
        rest = behind;
    }
    ""
}

/// The first `name: type, ` of a section's fields, and what follows.
pub(super) const fn first_field(fields: &str) -> Option<(&str, &str)> {
    let bytes = fields.as_bytes();
    let mut depth = 0;
    let mut index = 0;
    while index + 1 < bytes.len() {
        match bytes[index] {
            b'(' | b'<' | b'[' | b'{' => depth += 1,
            b')' | b'>' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                return Some((fields.split_at(index).0, fields.split_at(index + 2).1));
            }
            _ => {}
        }
        index += 1;
    }
    None
}

/// `counts` of `counts: map<str, i64>`.
pub(super) const fn name_of(field: &str) -> &str {
    let bytes = field.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] == b':' {
            return field.split_at(index).0;
        }
        index += 1;
    }
    field
}
