from __future__ import annotations

from deltaworks.recipes.naming import delta_name, display_name, distinct, setting_labels


def test_labels_say_what_differs_within_a_method() -> None:
    labels = setting_labels(
        [
            ("low-rank", {"rank": 8, "scale": "split"}),
            ("low-rank", {"rank": 16, "scale": "split"}),
            ("sign", {"per_row": True}),
            ("magnitude", {"density": 0.1, "signed": True}),
            ("magnitude", {"density": 0.05, "signed": False}),
        ]
    )

    assert labels == ["rank 8", "rank 16", "", "density 0.1, signed", "density 0.05, no signed"]


def test_file_names_hold_expert_method_and_settings() -> None:
    assert delta_name("my model/x", "low-rank", "rank 16") == (
        "my-model-x--low-rank--rank-16.delta.safetensors"
    )
    assert delta_name("a", "sign", "") == "a--sign.delta.safetensors"


def test_models_are_named_by_the_user_or_their_place() -> None:
    assert display_name("/m/llama-sums") == "llama-sums"
    assert display_name("/m/a.delta.safetensors") == "a"
    assert display_name("/m/x", "Mine") == "Mine"


def test_equal_names_are_numbered_whatever_their_case() -> None:
    assert distinct(["a", "b", "A", "a"]) == ["a", "b", "A-2", "a-3"]
