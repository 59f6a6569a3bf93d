//! Suggestions for misspelled words.

use strsim::damerau_levenshtein;

/// The known word nearest to the written one, if it is close enough to be a typo.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().filter_map(|word| Some((distance(written, word)?, word)));
    near.min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// The number of letters that a known word differs by, if few enough to be a typo.
pub(crate) fn distance(written: &str, known: &str) -> Option<usize> {
    let length = written.chars().count();
    let limit = (length / 3).clamp(1, 3);
    if length.abs_diff(known.chars().count()) > limit {
        return None;
    }
    let distance = damerau_levenshtein(&written.to_lowercase(), &known.to_lowercase());
    (distance <= limit).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const KNOWN: [&str; 4] = ["clientId", "clientSecret", "scopes", "extra"];

    #[test]
    fn a_typo_finds_its_word() {
        for (written, meant) in
            [("client_id", "clientId"), ("clientid", "clientId"), ("scope", "scopes"), ("scpoes", "scopes")]
        {
            assert_eq!(nearest(written, KNOWN), Some(meant), "{written}");
        }
    }

    #[test]
    fn an_unrelated_word_finds_nothing() {
        for written in ["audience", "", "x", "clientName"] {
            assert_eq!(nearest(written, KNOWN), None, "{written}");
        }
    }
}
