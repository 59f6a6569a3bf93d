//! Counts the values of JSON before it is parsed: a parsed value takes some eighty bytes of memory, but only two in
//! `[0,0,…`.

/// Whether a JSON body has more than `most` values (numbers, strings, arrays, objects). Counts without parsing: every
/// value but the first follows a comma or a bracket.
pub fn has_too_many_values(body: &[u8], most: usize) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    if !matches!(body.first(), Some(b'{' | b'[')) {
        return false;
    }
    let (mut values, mut in_text, mut is_escaped) = (1_usize, false, false);
    for byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => values += 1,
            _ => {}
        }
    }
    values > most
}

#[cfg(test)]
mod tests {
    use super::has_too_many_values;

    #[test]
    fn values_are_counted_but_not_punctuation_in_strings() {
        let has_too_many = |body: String| has_too_many_values(body.as_bytes(), 1000);
        let zeros = |count: usize| format!("[{}0]", "0,".repeat(count));
        assert!(!has_too_many(zeros(998)) && has_too_many(zeros(1000)));
        assert!(has_too_many(format!("{{\"a\":{}}}", "[".repeat(1000))));
        assert!(!has_too_many(format!("{{\"a\":\"{}\\\"{}\"}}", ",".repeat(9999), "[".repeat(9999))));
        assert!(!has_too_many(",".repeat(9999)), "not JSON");
    }
}
