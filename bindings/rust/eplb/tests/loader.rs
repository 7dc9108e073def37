//! Finding the library: what is tried, in which order, and what is said when there is none that can be used.

mod fake;
mod input;
mod programs;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use eplb::{LoadError, NamedBy, Refusal};
use eplb_sys::{ABI_MAJOR, ABI_MINOR};
use fake::Fake;
use input::library;
use programs::example;

/// The version that this crate was written for.
const ABI: i32 = ABI_MAJOR << 16 | ABI_MINOR;

fn refusal(path: &str) -> Refusal {
    let LoadError { named_by, mut tried, .. } = eplb::Library::load_from(path).expect_err("it cannot be used");
    assert_eq!((named_by, tried.len()), (NamedBy::Program, 1));
    let attempt = tried.remove(0);
    assert_eq!(attempt.path.to_string_lossy(), path);
    attempt.refusal
}

#[test]
fn explicit_path() {
    let path = library().path().to_owned();
    let again = eplb::Library::load_from(&path).expect("it was loaded before");
    assert_eq!(again.path(), path);
    assert_eq!(again.version(), library().version());
    // The bindings are those of the library in the same repository.
    assert_eq!(i64::from(again.abi_version().0), i64::from(ABI_MAJOR));
    assert_eq!(i64::from(again.abi_version().1), i64::from(ABI_MINOR));
}

#[test]
fn missing() {
    assert_eq!(refusal(""), Refusal::EmptyName);
    assert_eq!(refusal("/nowhere/libeplb.so.0"), Refusal::NoSuchFile);
    assert_eq!(refusal("/"), Refusal::NoSuchFile);
    let Refusal::NotLoadable(text) = refusal("libnothing_of_this_name.so") else { panic!("it cannot be there") };
    assert!(text.contains("libnothing_of_this_name.so"), "{text}");
}

#[test]
fn a_name_with_a_zero_byte_is_refused() {
    assert!(matches!(refusal("lib\0eplb.so"), Refusal::NotLoadable(_)));
}

#[test]
fn no_library_file() {
    let folder = fake::folder("text");
    let file = folder.join("libeplb.so.0");
    fs::write(&file, "no ELF").expect("the folder can be written");
    assert!(matches!(refusal(&file.to_string_lossy()), Refusal::NotLoadable(_)));
}

#[test]
fn something_else() {
    let library = Fake::new("other").body("int something;").build();
    let refused = refusal(&library);
    assert_eq!(refused, Refusal::NotEplb);
    assert_eq!(refused.to_string(), "it has no eplb_abi_version: this is no libeplb");
}

#[test]
fn another_abi() {
    for (number, major, minor) in [((2 << 16), 2, 0), (7, 0, 7), ((1 << 20) + 3, 16, 3)] {
        let library = Fake::new(&format!("abi{number}")).version(number).build();
        let refused = refusal(&library);
        assert_eq!(refused, Refusal::AbiVersion { major, minor });
        let needed = format!("{ABI_MAJOR}.{ABI_MINOR} or a later {ABI_MAJOR}.x");
        let text = format!("its ABI is {major}.{minor}, but this crate needs {needed}");
        assert_eq!(refused.to_string(), text);
    }
}

#[test]
fn the_version_is_asked_for_before_any_function() {
    // It has nothing else, and the version is what is complained of.
    let library = Fake::new("version_only").version(2 << 16).build();
    assert!(matches!(refusal(&library), Refusal::AbiVersion { .. }));
}

#[test]
fn a_later_minor_version_is_taken() {
    let library = Fake::new("minor").version(ABI + 3).functions(fake::all(), 0).build();
    let loaded = eplb::Library::load_from(&library).expect("it has every function, and takes every struct");
    assert_eq!(i64::from(loaded.abi_version().1), i64::from(ABI_MINOR + 3));
}

#[test]
fn a_missing_function_is_named() {
    for missing in ["eplb_solve", "eplb_fetch_map_device", "eplb_report_init"] {
        let rest = fake::all().into_iter().filter(|name| name != missing);
        let library = Fake::new(missing).version(ABI).functions(rest, 0).build();
        let refused = refusal(&library);
        assert!(matches!(&refused, Refusal::MissingFunction(text) if text.contains(missing)), "{refused}");
        let text = format!("it lacks a function of ABI {ABI_MAJOR}.{ABI_MINOR}: ");
        assert!(refused.to_string().starts_with(&text), "{refused}");
    }
}

#[test]
fn structs_that_it_does_not_take() {
    // Its init functions refuse, as one does whose structs of 1.0 were longer.
    let library = Fake::new("structs").version(ABI).functions(fake::all(), 1).build();
    assert!(matches!(refusal(&library), Refusal::Structs(_)));
}

#[test]
fn the_environment_is_the_only_place_if_it_names_one() {
    for path in ["/nowhere/libeplb.so.0", "", "libnothing_of_this_name.so"] {
        let done = example("info").env("EPLB_LIBRARY", path).output().expect("the example runs");
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(1), "{text}");
        assert!(text.starts_with("eplb cannot load the library named by EPLB_LIBRARY. Tried:\n"), "{text}");
        assert!(text.contains(&format!("'{path}'")), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}

#[test]
fn the_usual_places() {
    let folder = fake::folder("usual");
    let program = folder.join("info");
    fs::copy(example("info").get_program(), &program).expect("the example can be copied");
    let run = |path: &str| {
        let mut command = Command::new(&program);
        command.env_remove("EPLB_LIBRARY").env("LD_LIBRARY_PATH", path).current_dir("/").output().expect("it runs")
    };
    let done = run("");
    if !done.status.success() {
        // So it is unless this machine has the library installed.
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(text.starts_with("eplb cannot load the library. Tried:\n"), "{text}");
        for place in [&*folder.join("libeplb.so.0").to_string_lossy(), "libeplb.so.0", "/usr/local/lib/libeplb.so.0"] {
            assert!(text.contains(&format!("\n  '{place}': ")), "{text}");
        }
        assert!(text.contains("Set EPLB_LIBRARY to the path of libeplb.so.0"), "{text}");
    }
    // By the system's search, then next to the program, which comes first.
    let system = folder.join("system");
    fs::create_dir_all(&system).expect("a folder can be made");
    fs::copy(library().path(), system.join("libeplb.so.0")).expect("the library is a file");
    let found = String::from_utf8_lossy(&run(&system.to_string_lossy()).stdout).into_owned();
    assert!(found.lines().next().is_some_and(|line| line.ends_with(" libeplb.so.0")), "{found}");
    fs::copy(library().path(), folder.join("libeplb.so.0")).expect("the library is a file");
    let found = String::from_utf8_lossy(&run(&system.to_string_lossy()).stdout).into_owned();
    assert!(found.contains(&*folder.join("libeplb.so.0").to_string_lossy()), "{found}");
}

/// Copies a file such that it runs as another group, so with rights that its caller lacks; false without the right to.
fn copy_as_group(group: u32, from: &Path, to: &Path) -> bool {
    fs::copy(from, to).expect("it can be copied");
    let is_owner = chown(to, None, Some(group)).is_ok();
    fs::set_permissions(to, Permissions::from_mode(0o2755)).expect("it is ours");
    is_owner
}

/// What a program prints, and on success its standard output alone.
fn printed(command: &mut Command) -> String {
    let done = command.current_dir("/").output().expect("it runs");
    let text = if done.status.success() { done.stdout } else { done.stderr };
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_caller_with_fewer_rights_does_not_choose() {
    const GROUP: u32 = 65534;
    let folder = fake::folder("privileged");
    let (program, id, named) = (folder.join("info"), folder.join("id"), folder.join("named.so"));
    if !copy_as_group(GROUP, Path::new("/usr/bin/id"), &id) || printed(Command::new(&id).arg("-g")).trim() != "65534" {
        println!("skipped: files cannot give rights here, which needs root");
        return;
    }
    assert!(copy_as_group(GROUP, Path::new(example("info").get_program()), &program));
    fs::copy(library().path(), &named).expect("the library is a file");
    fs::copy(library().path(), folder.join("libeplb.so.0")).expect("the library is a file");
    // Without more rights both of these are loaded, see the tests above.
    let why = "the program has more rights than its caller (setuid, ";
    let text = printed(Command::new(&program).env("EPLB_LIBRARY", &named));
    assert!(text.contains(&format!("named by EPLB_LIBRARY. Tried:\n  '{}': {why}", named.display())), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
    let text = printed(Command::new(&program).env_remove("EPLB_LIBRARY"));
    assert!(!text.contains("Set EPLB_LIBRARY"), "advice that does not help: {text}");
    assert!(!text.contains(&format!(" {}/libeplb.so.0\n", folder.display())), "{text}");
    if text.starts_with("eplb cannot load") {
        // So it is unless this machine has the library installed.
        assert!(text.contains(&format!("'{}/libeplb.so.0': {why}", folder.display())), "{text}");
        assert!(text.contains("\n  '/usr/local/lib/libeplb.so.0': there is no such file"), "{text}");
    }
}
