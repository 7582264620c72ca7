//! `seed` and `details` on their way through frontend.

use serde_json::{Value, json};

use crate::common::{System, get, get_json};

#[tokio::test]
async fn seed_and_details_reach_dice_roller_and_the_times_come_back() {
    let System { frontend, upstreams } = System::start(&[], &["--roll-delay-max-ms=20"]).await;
    let query = "/roll-async?die=extreme&times=6&strategy=best-effort&seed=9007199254740991&details=true";
    let (status, at_once) = get_json(&frontend, query).await;
    let (_, sequential) = get_json(&frontend, &format!("{query}&concurrency=1")).await;
    assert_eq!((status, &at_once["rolls"]), (200, &sequential["rolls"]));
    let field = |body: &Value, name: &str| {
        body["details"].as_array().unwrap().iter().map(|detail| detail[name].as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(field(&sequential, "finished"), (1..7).map(f64::from).collect::<Vec<_>>());
    assert!(field(&sequential, "start").is_sorted() && field(&at_once, "seconds").iter().all(|took| *took >= 0.0));
    let direct = get_json(&upstreams, query).await.1;
    assert_eq!(direct["rolls"], at_once["rolls"], "the same without frontend");
    assert_eq!(
        at_once["details"][0].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["index", "start", "seconds", "finished"]
    );
}

#[tokio::test]
async fn malformed_parameters_are_refused_in_the_words_of_dice_roller() {
    let System { frontend, upstreams } = System::quick().await;
    for query in ["seed=-1", "seed=x", "seed=", "seed=1&seed=1", "details=1", "details=", "seed=18446744073709551616"] {
        let path = format!("/roll-async?die=fair&times=3&{query}");
        let (here, there) = (get_json(&frontend, &path).await, get_json(&upstreams, &path).await);
        assert_eq!((here.0, &here.1["detail"]), (422, &there.1["detail"]));
    }
}

#[tokio::test]
async fn openapi_describes_seed_and_details() {
    let System { frontend, upstreams } = System::quick().await;
    for service in [&frontend, &upstreams] {
        let api: Value = get(service, "/openapi.json").await.json().await.unwrap();
        let batch = &api["paths"]["/roll-async"]["get"];
        let type_of = |name: &str| {
            let parameters = batch["parameters"].as_array().unwrap();
            let parameter = parameters.iter().find(|parameter| parameter["name"] == name).unwrap();
            (parameter["schema"]["type"].to_string(), parameter["required"].clone(), parameter["in"].clone())
        };
        for (name, expected) in [("seed", "integer"), ("details", "boolean")] {
            let (kind, required, place) = type_of(name);
            assert!(kind.contains(expected) && required == json!(false) && place == "query", "{name}: {kind}");
        }
        let detail = &api["components"]["schemas"]["Detail"]["properties"];
        assert!(["index", "start", "seconds", "finished"].iter().all(|name| detail[name].is_object()), "{detail}");
        assert_eq!(batch.get("requestBody"), None);
    }
}
