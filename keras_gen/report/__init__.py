"""A run folder as one page of HTML; it is read without its model."""

from keras_gen.report.page import write
from keras_gen.report.reading import FACTS, RunFolder, read
from keras_gen.report.verdicts import Verdict, judge
