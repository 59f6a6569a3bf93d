use serde_json::{Value, json};

use super::{Mapping, evaluate};

fn variables() -> Value {
    json!({
        "s": "abc", "z": 0, "n": null, "e": "", "t": true, "list": ["x", "y"],
        "a": {"arr": [10, 0, null, {"x": 1}], "b": {"c": 1}},
        "credentials": {"access_token": "T"}
    })
}

#[track_caller]
fn gives(expression: Value, expected: Value) {
    assert_eq!(evaluate(&expression, &variables()), Some(expected), "{expression}");
}

#[track_caller]
fn is_undefined(expression: Value) {
    assert_eq!(evaluate(&expression, &variables()), None, "{expression}");
}

mod structures {
    use super::*;

    #[test]
    fn only_the_first_key_makes_a_formula() {
        gives(json!({"$var": "s", "ignored": 1}), json!("abc"));
        gives(json!({"first": 1, "$var": "s"}), json!({"first": 1, "$var": "s"}));
    }

    #[test]
    fn an_unknown_formula_is_a_plain_object() {
        gives(json!({"$template": {"$var": "s"}}), json!({"$template": "abc"}));
        is_undefined(json!({"$template": {"$var": "missing"}}));
    }

    #[test]
    fn scalars_and_null_are_unchanged() {
        for scalar in [json!(1), json!("x"), json!(false), json!(null)] {
            gives(scalar.clone(), scalar);
        }
    }

    #[test]
    fn empty_literals_stay() {
        gives(json!({}), json!({}));
        gives(json!([]), json!([]));
        gives(json!({"extra": {}, "scopes": []}), json!({"extra": {}, "scopes": []}));
    }

    #[test]
    fn a_missing_variable_drops_its_key() {
        gives(json!({"a": {"$var": "missing"}, "b": 1}), json!({"b": 1}));
    }

    #[test]
    fn a_null_variable_keeps_its_key() {
        gives(json!({"a": {"$var": "n"}}), json!({"a": null}));
    }

    #[test]
    fn a_literal_null_survives() {
        gives(json!({"extra": {"access_type": null}}), json!({"extra": {"access_type": null}}));
    }

    #[test]
    fn an_object_that_loses_every_key_is_undefined() {
        is_undefined(json!({"a": {"$var": "missing"}}));
        is_undefined(json!({"a": {"b": {"$var": "missing"}}}));
    }

    #[test]
    fn arrays_close_the_gaps() {
        gives(json!([{"$var": "missing"}, 1, {"$var": "n"}]), json!([1, null]));
        is_undefined(json!([{"$var": "missing"}]));
    }

    #[test]
    fn keys_keep_their_order() {
        let value = evaluate(&json!({"z": 1, "a": {"$var": "s"}, "m": 2}), &variables()).unwrap();
        assert_eq!(value.to_string(), r#"{"z":1,"a":"abc","m":2}"#);
    }
}

mod var {
    use super::*;

    #[test]
    fn reads_the_variables() {
        gives(json!({"$var": "credentials.access_token"}), json!("T"));
        gives(json!({"$var": "$.a.arr[0]"}), json!(10));
        gives(json!({"$var": "a.arr.length"}), json!(4));
        gives(json!({"$var": "$"}), variables());
    }

    #[test]
    fn an_invalid_locator_is_null_not_undefined() {
        for bad in [json!(""), json!("a["), json!("a[-1]"), json!("$a.b"), json!(null), json!(7)] {
            gives(json!({"$var": bad}), json!(null));
        }
    }

    #[test]
    fn an_empty_name_finds_nothing() {
        is_undefined(json!({"$var": "a..b"}));
    }
}

mod concat {
    use super::*;

    #[test]
    fn joins_its_values() {
        gives(json!({"$concat": ["Bearer ", {"$var": "credentials.access_token"}]}), json!("Bearer T"));
    }

    #[test]
    fn puts_the_delimiter_only_between_present_values() {
        gives(json!({"$concat": {"values": ["Bearer", {"$var": "missing"}], "delimiter": " "}}), json!("Bearer"));
        gives(json!({"$concat": {"values": ["a", "", null, "b"], "delimiter": "-"}}), json!("a-b"));
        gives(json!({"$concat": {"values": ["a", "b"], "delimiter": null}}), json!("ab"));
        gives(json!({"$concat": {"values": ["a", "b"], "delimiter": 0}}), json!("a0b"));
    }

    #[test]
    fn concat_without_values_is_undefined() {
        is_undefined(json!({"$concat": [{"$var": "missing"}]}));
        is_undefined(json!({"$concat": []}));
        is_undefined(json!({"$concat": {"delimiter": ","}}));
        is_undefined(json!({"$concat": "x"}));
    }

    #[test]
    fn concat_of_blanks_is_an_empty_string() {
        gives(json!({"$concat": ["", null]}), json!(""));
    }

    #[test]
    fn keeps_zero_and_false() {
        gives(json!({"$concat": ["a", null, "", 0, false]}), json!("a0false"));
    }

    #[test]
    fn prints_arrays_and_objects_as_javascript_does() {
        gives(json!({"$concat": [[1, [2, 3]], {"x": 1}]}), json!("1,2,3[object Object]"));
    }

    #[test]
    fn takes_its_values_from_a_formula() {
        gives(json!({"$concat": {"values": {"$var": "list"}, "delimiter": "+"}}), json!("x+y"));
    }
}

mod tpl {
    use super::*;

    #[test]
    fn fills_every_occurrence() {
        gives(json!({"$tpl": {"template": "{x}/{x}", "values": {"x": {"$var": "s"}}}}), json!("abc/abc"));
    }

    #[test]
    fn a_missing_value_is_blank_but_an_unknown_placeholder_stays() {
        let values = json!({"x": {"$var": "missing"}, "n": null, "z": 0});
        gives(json!({"$tpl": {"template": "a{x}{n}{z}{y}{", "values": values}}), json!("a0{y}{"));
    }

    #[test]
    fn placeholders_in_values_are_not_filled() {
        gives(json!({"$tpl": {"template": "{a}", "values": {"a": "{b} $&", "b": "no"}}}), json!("{b} $&"));
    }

    #[test]
    fn without_values_the_template_is_unchanged() {
        gives(json!({"$tpl": {"template": "{x}"}}), json!("{x}"));
        is_undefined(json!({"$tpl": {"template": 1}}));
    }
}

mod case {
    use super::*;

    #[test]
    fn the_first_matching_case_wins() {
        let cases = json!([
            {"filter": {"$eval": {"$var": "s"}, "is": "no"}, "value": 1},
            {"filter": {"$eval": {"$var": "s"}, "is": "abc"}, "value": {"$var": "z"}},
            {"value": 3}
        ]);
        gives(json!({"$case": {"cases": cases, "default": 4}}), json!(0));
        gives(json!({"$case": cases}), json!(0));
    }

    #[test]
    fn without_a_match_the_default_is_used() {
        let never = json!([{"filter": {"$or": [false]}, "value": 1}]);
        gives(json!({"$case": {"cases": never, "default": {"$var": "s"}}}), json!("abc"));
        is_undefined(json!({"$case": {"cases": never}}));
        is_undefined(json!({"$case": {"cases": never, "default": null}}));
    }

    #[test]
    fn a_filter_without_a_result_matches() {
        gives(json!({"$case": [{"filter": {"$var": "missing"}, "value": 1}]}), json!(1));
        gives(json!({"$case": [{"filter": {"$var": "n"}, "value": 1}]}), json!(1));
        gives(json!({"$case": [{"filter": false, "value": 1}]}), json!(1));
    }

    #[test]
    fn a_list_of_conditions_is_applied() {
        let cases = json!([
            {"filter": [{"field": "s", "operator": "contains", "value": "x"}], "value": 1},
            {"filter": [{"field": "$.s", "operator": "contains", "value": "b"}], "value": 2}
        ]);
        gives(json!({"$case": cases}), json!(2));
    }

    #[test]
    fn case_of_a_scalar_is_undefined() {
        is_undefined(json!({"$case": 1}));
        is_undefined(json!({"$case": {"default": 1}}));
    }
}

mod map {
    use super::*;

    #[test]
    fn matches_loose_or_deep_equality() {
        gives(json!({"$map": {"value": 0, "mapping": [{"from": "0", "to": "X"}]}}), json!("X"));
        gives(json!({"$map": {"value": {"a": [1]}, "mapping": [{"from": {"a": [1.0]}, "to": "X"}]}}), json!("X"));
        gives(json!({"$map": {"value": {"$var": "missing"}, "mapping": [{"from": null, "to": "X"}]}}), json!("X"));
    }

    #[test]
    fn without_a_match_the_default_is_used() {
        let mapping = json!([{"from": "a", "to": 1}]);
        gives(json!({"$map": {"value": "b", "mapping": mapping, "default": {"$var": "s"}}}), json!("abc"));
        is_undefined(json!({"$map": {"value": "b", "mapping": mapping}}));
        gives(json!({"$map": {"value": "a", "mappings": mapping, "default": 2}}), json!(2));
    }
}

mod logic {
    use super::*;

    #[test]
    fn evals_second_key_is_the_operator() {
        gives(json!({"$eval": {"$var": "s"}, "contains": "BC"}), json!(true));
        gives(json!({"$eval": {"$var": "missing"}, "is": null}), json!(true));
        gives(json!({"$eval": 5, "lt": {"$var": "a.arr[0]"}, "gt": 9}), json!(true));
    }

    #[test]
    fn eval_without_a_known_operator_is_true() {
        gives(json!({"$eval": false}), json!(true));
        gives(json!({"$eval": false, "isPrime": 1, "is": 1}), json!(true));
    }

    #[test]
    fn and_ignores_absent_values() {
        gives(json!({"$and": [true, null, {"$var": "missing"}, 1]}), json!(true));
        gives(json!({"$and": [true, ""]}), json!(false));
        is_undefined(json!({"$and": [null]}));
        is_undefined(json!({"$and": []}));
        is_undefined(json!({"$and": true}));
    }

    #[test]
    fn or_needs_one_truthy_value() {
        gives(json!({"$or": [false, null]}), json!(false));
        gives(json!({"$or": [0, {"$var": "s"}]}), json!(true));
        is_undefined(json!({"$or": [null, {"$var": "missing"}]}));
    }
}

mod objects {
    use super::*;

    #[test]
    fn first_not_empty_accepts_blanks() {
        gives(json!({"$firstNotEmpty": [{"$var": "missing"}, null, "", "abc"]}), json!(""));
        gives(json!({"$firstNotEmpty": [null, {}]}), json!({}));
        is_undefined(json!({"$firstNotEmpty": [null]}));
    }

    #[test]
    fn later_objects_win_in_merge_objects() {
        gives(
            json!({"$mergeObjects": [{"a": 1, "b": 1}, {"$var": "a.b"}, 7, {"b": null}]}),
            json!({"a": 1, "b": null, "c": 1}),
        );
        is_undefined(json!({"$mergeObjects": [{}, null]}));
        is_undefined(json!({"$mergeObjects": [{"a": {"$var": "missing"}}]}));
    }

    #[test]
    fn plain_evaluates_nothing() {
        gives(json!({"$plain": {"$var": "s"}}), json!({"$var": "s"}));
    }
}

mod more_formulas {
    use super::*;

    #[test]
    fn iterate_evaluates_its_item_for_each_value() {
        gives(json!({"$iterate": {"source": {"$var": "list"}, "item": {"$var": "item"}}}), json!(["x", "y"]));
        gives(json!({"$iterate": {"source": {"$var": "list"}, "item": {"$var": "parent.s"}}}), json!(["abc", "abc"]));
    }

    #[test]
    fn iterate_drops_falsy_results() {
        gives(json!({"$iterate": {"source": {"$var": "list"}, "item": {"$var": "index"}}}), json!([1]));
        is_undefined(json!({"$iterate": {"source": [1], "item": ""}}));
        is_undefined(json!({"$iterate": {"source": {"$var": "s"}, "item": 1}}));
    }

    #[test]
    fn formula_substitutes_the_variables() {
        gives(json!({"$formula": {"$concat": ["a", {"$var": "s"}]}}), json!({"$concat": ["a", "abc"]}));
        gives(json!({"$formula": {"a": {"$var": "missing"}, "b": {"$var": "n"}}}), json!({"b": null}));
        gives(
            json!({"$formula": {"$iterate": {"source": {"$var": "list"}, "item": {"$var": "item"}}}}),
            json!({"$iterate": {"source": ["x", "y"], "item": {"$var": "item"}}}),
        );
        gives(json!({"$formula": {"$var": "s"}}), json!("abc"));
    }

    #[test]
    fn references_stay_references() {
        gives(json!({"$record": {"id": {"$var": "s"}}}), json!({"$var": "s"}));
        gives(json!({"$lookup": {"key": {"$var": "s"}}}), json!({"$lookup": {"key": "abc"}}));
        gives(json!({"$findAppRecordId": {"$var": "s"}}), json!({"$findAppRecordId": "abc"}));
        gives(json!({"$findExternalRecordId": {"$var": "missing"}}), json!({}));
        is_undefined(json!({"$dataSchemaRef": {"type": "data-collection", "key": "x"}}));
    }

    #[test]
    fn a_domain_follows_the_only_at_sign() {
        gives(json!({"$domainFromEmail": "ada@example.com"}), json!("example.com"));
        is_undefined(json!({"$domainFromEmail": "a@b@c"}));
        is_undefined(json!({"$domainFromEmail": {"$var": "z"}}));
    }

    #[test]
    fn names_and_dates_are_parsed() {
        gives(json!({"$firstName": "Ada Lovelace"}), json!("Ada"));
        gives(json!({"$lastName": "Plato"}), json!("Plato"));
        is_undefined(json!({"$firstName": "Plato"}));
        is_undefined(json!({"$lastName": {"$var": "n"}}));
        gives(json!({"$extractDate": "2024-01-02T23:30:00-01:00"}), json!("2024-01-03"));
        gives(json!({"$extractTime": "Jan 2, 2024 4:05 PM"}), json!("16:05:00"));
        is_undefined(json!({"$extractTime": "soon"}));
    }
}

mod unevaluated_keys {
    use super::*;

    #[test]
    fn the_value_is_returned_as_written() {
        let handlers = json!([{"if": {"$eval": {"$var": "response.status"}, "is": 401}}]);
        let expression = json!({"args": {"baseUri": {"$var": "s"}, "responseHandlers": handlers}});
        let mapping = Mapping::parse(expression).unwrap().leaving("responseHandlers");
        let expected = json!({"args": {"baseUri": "abc", "responseHandlers": handlers}});
        assert_eq!(mapping.evaluate(&variables()), Some(expected));
    }

    #[test]
    fn keys_inside_formulas_are_left_too() {
        let expression =
            json!({"$mergeObjects": [{"responseHandlers": {"$var": "s"}}, {"$plain": {"responseHandlers": 1}}]});
        let mapping = Mapping::parse(expression).unwrap().leaving("responseHandlers");
        assert_eq!(mapping.evaluate(&variables()), Some(json!({"responseHandlers": 1})));
    }

    #[test]
    fn the_value_is_still_checked() {
        let malformed = Mapping::parse(json!({"responseHandlers": [{"$concat": 1}]})).unwrap_err();
        assert_eq!(malformed[0].pointer, "/responseHandlers/0/$concat");
    }
}
