"""Build of securegw: the package, the twistd plugin, and the folders web/ and etc/ as data inside the package."""

from setuptools import find_namespace_packages, setup

PACKAGES = [name for name in find_namespace_packages(include=["securegw", "securegw.*"])]

setup(
    packages=[*PACKAGES, "securegw.web", "securegw.etc", "twisted.plugins"],
    package_dir={"securegw.web": "web", "securegw.etc": "etc"},
    package_data={
        "securegw": ["py.typed", "store/migrations/*.mako"],
        "securegw.web": ["**/*"],
        "securegw.etc": ["**/*"],
        "twisted.plugins": ["securegw_plugin.py"],
    },
    include_package_data=False,
)
