"""Every code that a person may meet on the page, in words that need no programmer."""

from typing import NamedTuple

from imagemill import images


class Words(NamedTuple):
    """What a code is called, and what it means."""

    title: str
    text: str


TIMES = "\N{MULTIPLICATION SIGN}"
TO = "\N{EN DASH}"


class Step(NamedTuple):
    """What is left after one stage."""

    name: str
    stage: str
    title: str
    text: str


STEPS = (
    Step("wanted", "scan", "Wanted", "It is known what it shows, and enough images show it."),
    Step("held", "download", "Fetched", "Its bytes have arrived, and are what was listed."),
    Step("merged", "merge", "Merged", "It counts once, and nothing disputes what it shows."),
    Step("readable", "measure", "Readable", "A picture comes out of its bytes."),
    Step("clean", "clean", "Clean", "The picture is good enough, and no copy of one that stays."),
    Step("final", "leaks", "Final", "Nothing like it lies in another split, and enough are left."),
)
"""What each stage leaves, in the order of the pipeline."""

_UNREADABLE = {
    "empty": "Empty file",
    "not_an_image": "Not an image",
    "truncated": "Cut short",
    "corrupt": "Damaged",
    "too_many_pixels": "Too many pixels",
    "too_many_bytes": "File too large",
    "unsupported_mode": "Colours without a meaning",
    "kills_reader": "Ends the program that reads it",
}

REASONS: dict[str, Words] = {
    "linked_folder": Words(
        "Link to a folder", "It is a link to another folder. Such links are not followed."
    ),
    "odd_name": Words(
        "Unusable name", "Its name has characters that cannot be printed or stored reliably."
    ),
    "no_layout": Words(
        "Path not understood",
        "Its path is unlike the paths that the config describes, so nothing says what it shows. "
        "It may be a stray file.",
    ),
    "no_label": Words(
        "No label", "Nothing says what it shows: the label table has no entry for it."
    ),
    "identity_too_small": Words(
        "Too few images",
        "The person, thing or label that it shows has fewer images than the minimum, too few to "
        "learn from, so all of them are left out.",
    ),
    "not_held": Words(
        "Not held",
        "The config keeps its source to what earlier builds fetched, and none of them fetched it.",
    ),
    "beyond_limit": Words(
        "Beyond the limit",
        "The config asks for a part of the data only; this image is not in that part, or not yet.",
    ),
    "not_a_file": Words("Not a file", "It is a device or a pipe, which holds no image."),
    "link": Words(
        "Link in an archive", "It is a link to another file. Such links are not followed."
    ),
    "unsafe_name": Words(
        "Path out of its archive",
        "Its path would lead to a place outside its archive. Honest archives have no such paths.",
    ),
    "replaced": Words(
        "Replaced in its archive",
        "A later file of the same archive has the same path and takes its place.",
    ),
    "encrypted": Words(
        "Encrypted", "Its archive holds it encrypted, and nothing here decrypts it."
    ),
    "unknown_packing": Words(
        "Packed in an unknown way",
        "Its archive holds it packed in a way that cannot be undone here.",
    ),
    "bomb": Words(
        "Unpacks to far too much",
        "It would unpack to very many times its packed size, as no photograph does. It was not "
        "unpacked.",
    ),
    "no_image": Words("No image", "Its row of the table holds no image."),
    "vanished": Words("Vanished", "It was listed, but gone when it was to be fetched."),
    "denied": Words("Access refused", "It is listed, but reading it is not allowed or fails."),
    "changed": Words(
        "Changed on the way",
        "Its content changed between the listing and the fetching. Another build will take it.",
    ),
    "no_url": Words("No address", "The table has no web address for it."),
    "bad_url": Words(
        "Unusable address", "The table's address for it is not one of the web, or holds a password."
    ),
    "private_address": Words(
        "Private address",
        "Its web address leads into a private network, which the config does not allow.",
    ),
    "wrong_content_type": Words(
        "Answer is no image", "The server sent something else than an image, such as a web page."
    ),
    "failed": Words("Not to be had", "Fetching it failed, also when it was tried again."),
    "same_bytes": Words(
        "Same file again",
        "Another file has exactly the same content and shows the same person, thing or label. "
        "One of them is enough; it is shown beside.",
    ),
    "identity_conflict": Words(
        "Same file, two identities",
        "Exactly the same file is said to show two different people, things or labels. At most "
        "one can be right, and nothing tells which.",
    ),
    "identity_review": Words(
        "Same file, two identities, to be decided",
        "Exactly the same file is said to show two different people, things or labels. It is left "
        "out until people decide; merge/conflicts.parquet says who shows it as whom.",
    ),
    "label_conflict": Words(
        "Label disputed",
        "Its label differs from the label of most images of the same person or thing.",
    ),
    **{code: Words(title, images.REASONS[code]) for code, title in _UNREADABLE.items()},
    "too_small": Words("Too small", "Its shorter edge has too few pixels to show anything."),
    "odd_aspect": Words(
        "Odd shape", "It is far longer than wide, or wider than long: a strip or a banner."
    ),
    "blurred": Words("Blurred", "It has almost no sharp edges."),
    "dark": Words("Too dark", "It is almost black all over."),
    "bright": Words("Too bright", "It is almost white all over."),
    "low_information": Words(
        "Nearly blank", "It has so few shades of grey that there is almost nothing to see."
    ),
    "animated": Words("Animated", "The file holds several pictures in a row, not one."),
    "conflicting_copies": Words(
        "Copies that disagree",
        "Another image shows the same picture under another label or identity. If they are "
        "copies, at most one can be right, so neither is trusted. The other one is shown beside.",
    ),
    "duplicate": Words(
        "Copy",
        "It shows the same picture as another image: saved anew, resized, turned or mirrored. The "
        "better one stays; it is shown beside.",
    ),
    "leak": Words(
        "Leak across splits",
        "It shows the same as an image in another split. A model tested on what it has learnt "
        "would look better than it is. The other one is shown beside.",
    ),
    "removed_by_review": Words(
        "Removed by a person", "Somebody looked at it and decided that it does not belong here."
    ),
    "removed_by_rule": Words(
        "Removed by a rule",
        "A rule of the config removes it, by what checks and audits say of it.",
    ),
    "odd_size": Words("Odd size", "One of its sides is longer than the config allows."),
    "grey": Words("Without colour", "It has hardly any colour."),
    "low_quality": Words(
        "Saved at low quality", "It is a JPEG that was compressed so far that one can see it."
    ),
    "in_benchmark": Words(
        "In a benchmark",
        "It is an image of another dataset that this one must share nothing with, such as the test "
        "images of a benchmark.",
    ),
    "joins_splits": Words(
        "Belongs in two splits",
        "It is a copy, or of the group, of images that were frozen in different splits. In either "
        "it would carry knowledge from the other.",
    ),
}
"""Why an image is out; ``reasons`` of ``tables.MANIFEST``."""

FLAGS: dict[str, Words] = {
    "wrong_extension": Words(
        "Name and content differ", "Its name ends like another kind of image file than it is."
    ),
    "private_metadata": Words(
        "Tells where it was taken",
        "The file carries the place where it was taken. That does not travel into the package.",
    ),
    "relabelled": Words(
        "Has a new label", "People or a rule gave it another label than its source does."
    ),
    "label_suspect": Words(
        "Label in doubt", "The images most like it have another label. Somebody should look at it."
    ),
    "mislabel": Words("Label in doubt, says an audit", "An audit takes its label for wrong."),
    "outlier": Words("Outlier, says an audit", "An audit finds it unlike all others."),
    "near_duplicate": Words(
        "Near copy, says an audit", "An audit finds another image that is almost the same."
    ),
    "blur": Words("Blurred, says an audit", "An audit finds it out of focus."),
    "corrupt": Words("Damaged, says an audit", "An audit finds its file damaged."),
    "ambiguous": Words(
        "Ambiguous, says an audit", "An audit finds that it could bear several labels."
    ),
    "train_test_leak": Words(
        "In a leak across splits",
        "It, or its group, was found in another split too. It stays, because the other side was "
        "removed or the leak was only to be reported.",
    ),
    "reencoded": Words("Saved anew", "It was stored in a way that the package does not allow."),
}
"""What is worth knowing of an image that stays; ``flags`` of ``tables.MANIFEST``."""

TIERS = {
    "bytes": "equal files",
    "pixels": "equal pixels",
    "perceptual": "same picture",
    "semantic": "same scene",
    "group": "same group",
    "identity": "same identity",
    "against": "in a benchmark",
}
"""How two images are alike; ``tier`` of ``tables.PAIRS`` and ``kind`` of ``tables.LEAKS``."""

IDENTITIES = {
    "identities": "Total identities",
    "images": "Total images",
    "identities_from_one_source": "Identities from a single source",
    "identities_from_several_sources": "Identities from several sources",
    "identities_too_small": "Identities skipped, too few images",
    "images_per_identity": "Images of an identity, on average",
}
"""Figures of ``imagemill.identities`` that the page shows."""

TRANSFORMS = {
    "none": "as it is",
    "rot90": "turned left",
    "rot180": "turned upside down",
    "rot270": "turned right",
    "flip": "mirrored",
    "flip90": "mirrored, then turned left",
    "flip180": "mirrored, then turned upside down",
    "flip270": "mirrored, then turned right",
}
"""What takes the right image of a pair to the left one; one entry for ``tables.TRANSFORMS``."""


def of(code: str) -> Words:
    """Return the words for a reason or flag; a code without any stands for itself."""
    unknown = Words(code.replace("_", " ").capitalize(), "Nobody has described this code yet.")
    return REASONS.get(code) or FLAGS.get(code) or unknown


def shown(value: object) -> object:
    """Return ``value``; in text, characters that cannot be seen become visible codes.

    Names may hold control characters, or ones that turn the direction of the text around them.
    """
    if type(value) is not str or value.isprintable():  # Markup is the template's own
        return value
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in value)
