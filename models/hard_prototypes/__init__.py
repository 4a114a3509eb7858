"""ECAPA-TDNN fine-tuned with hard prototype mining (Thienpondt et al., 2020), as VietSV's table 3 has it."""
