"""H/ASP ResNet-34 with angular (margin) prototypical losses: VietSV's system (Vi, Pham and Nguyen, 2022)."""
