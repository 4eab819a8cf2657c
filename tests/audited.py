"""A dataset with an audit, on which rules and people act."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Project

HEAD = "image_id,image_path,label,issue_type,confidence,suggested_label,reason\n"

AUDITED = """\
# @package _global_
# Drawn photos with an audit.
defaults:
  - /source@sources.pets: folder
  - /layout@sources.pets.layout: imagefolder
  - /audit@clean.audits.visual_layer: visual_layer
  - override /clean: reviewed
  - override /leaks: given
about: {title: Drawn pets}
sources:
  pets:
    path: pets
    layout: {folders: [label]}
clean:
  audits: {visual_layer: {path: audits/pets_vl_export.csv}}
"""

FLAGS = (
    "1,cat/0.png,cat,mislabel,0.95,dog,a dog\n"
    "2,cat/1.png,cat,mislabel,0.5,dog,maybe\n"
    "3,dog/0.png,dog,outlier,0.99,,\n"
    "4,dog/1.png,dog,outlier,0.6,,odd\n"
    "5,bird/9.png,bird,outlier,0.6,,\n"
)


def audit(project: "Project") -> "Project":
    """Give the project of pets an audit, which rules and people act on."""
    project.conf("dataset/pets.yaml", AUDITED)
    (project.root / "audits/pets_vl_export.csv").write_text(HEAD + FLAGS)
    return project
