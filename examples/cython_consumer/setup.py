from Cython.Build import cythonize
from setuptools import Extension, setup

from fastcoord import get_include

setup(
    ext_modules=cythonize(
        [Extension("changes", ["changes.pyx"], include_dirs=[get_include()])],
        language_level=3,
    )
)
