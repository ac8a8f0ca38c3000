"""What do these image classifiers look at, and do they agree?"""
