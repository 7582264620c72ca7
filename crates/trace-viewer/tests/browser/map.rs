//! The map of services.

use serde_json::json;
use test_support::browser::browse;

use crate::support::{Viewer, new_trace, span, with};

/// The lines that pass through a box, other than the two that they connect.
const CROSSED: &str = r"
    const boxes = [...document.querySelectorAll('.map .node')].map((node) => {
        const [x, y] = /translate\((\S+) (\S+)\)/.exec(node.getAttribute('transform')).slice(1).map(Number);
        const rect = node.querySelector('rect');
        return {name: node.querySelector('title').textContent, x, y, right: x + rect.width.baseVal.value, bottom: y + rect.height.baseVal.value};
    });
    const crossed = [];
    for (const line of document.querySelectorAll('.map path.edge')) {
        const all = line.getTotalLength();
        // Its ends are at the edges of two boxes.
        for (let at = 3; at < all - 3; at += 2) {
            const point = line.getPointAtLength(at);
            const inside = boxes.find((box) => point.x > box.x && point.x < box.right && point.y > box.y && point.y < box.bottom);
            if (inside) { crossed.push(`${line.textContent} crosses ${inside.name}`); break; }
        }
    }
    return crossed;";

/// Sends a trace with a call from each service to the next one.
fn send_chain(viewer: &Viewer, services: &[&str]) {
    let trace = new_trace();
    for (i, service) in services.iter().enumerate() {
        let n = i as u64 * 2 + 1;
        let mut spans = vec![with(span(&trace, n, n.saturating_sub(1), "GET", n, 100 - n), json!({"kind": 2}))];
        if i + 1 < services.len() {
            spans.push(with(span(&trace, n + 1, n, "call", n + 1, 99 - n), json!({"kind": 3})));
        }
        viewer.send(service, &spans);
    }
}

#[test]
fn lines_of_the_map_cross_no_box() {
    let viewer = Viewer::start(&[]);
    for chain in [
        ["a", "b", "c", "d", "e"].as_slice(),
        // Past one column, and past three.
        &["a", "c"],
        &["a", "e"],
        &["b", "e"],
        // Others in the same columns.
        &["a", "x", "y", "z"],
        &["a", "y"],
        &["alone"],
        &["other", "w", "z"],
        // Back, and to the column of the caller.
        &["a", "b", "c", "a"],
        &["d", "y", "c"],
        &["b", "x"],
        &["x", "b"],
    ] {
        send_chain(&viewer, chain);
    }
    browse(true, async |browser| {
        browser.open(&format!("{}/map", viewer.pages)).await?;
        browser.until("document.querySelectorAll('.map .node').length === 11").await?;
        assert!(browser.value("document.querySelectorAll('.map path.edge').length").await?.as_u64().unwrap() > 12);
        let crossed = browser.0.execute(CROSSED, []).await?.json().clone();
        assert_eq!(crossed, json!([]));
        let [width, height] = ["width", "height"];
        let inside = format!(
            "(({{{width}, {height}}}) => [...document.querySelectorAll('.map path.edge')].every((line) => {{
                const box = line.getBBox();
                return box.x >= 0 && box.y >= 0 && box.x + box.width <= {width} && box.y + box.height <= {height};
            }}))(document.querySelector('.map svg').viewBox.baseVal)"
        );
        assert_eq!(browser.value(&inside).await?, true, "a line leaves the picture");
        assert_eq!(browser.errors().await?, [] as [String; 0]);
        Ok(())
    });
}
