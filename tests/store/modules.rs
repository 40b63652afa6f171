//! Which modules take packages.

use linkgate_contract::{AppCode, ModuleName, ModuleRef};
use linkgate_store_core::settings::{ModuleRules, SourceOrigin, UnknownModules};
use linkgate_tests::{FakeSource, TestStore, package_of, trust};
use serde_json::json;

use crate::{assert_problem, assert_refused};

fn module(app_code: &str, module: &str) -> ModuleRef {
    ModuleRef { app: AppCode::new(app_code).unwrap(), module: ModuleName::new(module).unwrap() }
}

async fn store_with(source: &FakeSource, rules: ModuleRules) -> TestStore {
    TestStore::with(|c| {
        trust(c, &[source]);
        c.modules = rules;
    })
    .await
}

#[tokio::test]
async fn declared_modules_take_packages_by_their_origin() {
    for origin in SourceOrigin::ALL {
        let source = FakeSource::serving(package_of("x")).await;
        let mut rules = ModuleRules::new(UnknownModules::Refuse);
        assert!(rules.declare(module("app_code", "default"), origin));
        let store = store_with(&source, rules).await;
        let reply = store.send(store.request(source.url())).await;
        if matches!(origin.number(), 2 | 3 | 7) {
            assert_eq!(reply.status, 200, "{origin:?}");
            assert!(store.directory().modules().await.is_empty(), "the file rules, the catalog does not repeat it");
        } else {
            let body = json!({"code": "UNSUPPORTED_SOURCE_ORIGIN", "detail": "未支持的源码来源"});
            assert_problem(&reply, 400, Some("4312008"), &body);
            store.directory().assert_empty().await;
            assert!(source.requests().is_empty(), "refused before anything is fetched");
        }
    }
}

#[tokio::test]
async fn an_unknown_module_is_not_found_where_the_operator_refuses_them() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = store_with(&source, ModuleRules::new(UnknownModules::Refuse)).await;
    assert_refused(&store, store.request(source.url()), 404, "ERROR", "Not found").await;
    assert!(source.requests().is_empty());
}

#[tokio::test]
async fn a_recorded_module_rules_where_none_is_declared() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = store_with(&source, ModuleRules::new(UnknownModules::Refuse)).await;
    store
        .directory()
        .execute("insert into module values ('app_code', 'default', 3, 0), ('app_code', 'vcs', 1, 0)")
        .await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    let reply = store.send(store.request(source.url()).module("app_code", "vcs")).await;
    assert_eq!(reply.json()["code"], "UNSUPPORTED_SOURCE_ORIGIN");
}

#[tokio::test]
async fn a_declared_module_rules_over_a_recorded_one() {
    let source = FakeSource::serving(package_of("x")).await;
    let mut rules = ModuleRules::default();
    rules.declare(module("app_code", "default"), SourceOrigin::ImageRegistry);
    let store = store_with(&source, rules).await;
    store.directory().execute("insert into module values ('app_code', 'default', 2, 0)").await;
    assert_eq!(store.send(store.request(source.url())).await.json()["code"], "UNSUPPORTED_SOURCE_ORIGIN");
}

#[tokio::test]
async fn a_failed_first_upload_registers_nothing() {
    let source = FakeSource::start(linkgate_tests::Behaviour::Status(404)).await;
    let store = TestStore::trusting(&source).await;
    assert_eq!(store.send(store.request(source.url())).await.status, 502);
    store.directory().assert_empty().await;
}
